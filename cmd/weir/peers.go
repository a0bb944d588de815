package main

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// peersOf are the far ends of connections to ports, in the form of /proc/net/tcp and tcp6
// (proc(5)): addresses in hexadecimal, each four bytes in the machine's order.
func peersOf(table string, ports []int) (peers []netip.Addr) {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] == "0A" { // listening
			continue
		}
		_, local, ok := strings.Cut(fields[1], ":")
		port, err := strconv.ParseUint(local, 16, 16)
		if !ok || err != nil || !slices.Contains(ports, int(port)) {
			continue
		}
		address, _, _ := strings.Cut(fields[2], ":")
		raw, err := hex.DecodeString(address)
		if err != nil || len(raw)%4 != 0 {
			continue
		}
		for word := range slices.Chunk(raw, 4) {
			slices.Reverse(word)
		}
		if addr, ok := netip.AddrFromSlice(raw); ok && !addr.Unmap().IsLoopback() {
			peers = append(peers, addr.Unmap())
		}
	}
	return peers
}
