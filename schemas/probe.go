package schemas

import (
	"fmt"
	"net/netip"
	"strconv"
)

// Probes are requests that an edge lets through although a decision matches them: those of
// about one client in a hundred, so that what the decision stops goes on being seen. Which
// clients they are is drawn anew every ProbeEpoch, by a hash with a key that nobody
// outside knows: nobody can choose to be one, and none is one for long. nginx draws
// them by its split_clients: MurmurHash2 over "<client> <epoch> <key>".
const (
	// ProbeShare is the share of the clients that are let through.
	ProbeShare = 0.01
	// ProbeEpoch is for how many seconds the same ones are: the unix time without its last
	// three digits numbers the epochs, which an nginx can read off its clock.
	ProbeEpoch = 1000
	// probeBelow is where nginx ends the first 1% of the hashes.
	probeBelow = 0xffffffff * 100 / 10000
	// maxProbeKey bounds a key, in bytes.
	maxProbeKey = 32
)

// Probe reports whether a client is a probe at a time, in unix milliseconds, under a key;
// nobody is under the empty one. It does not allocate.
func Probe(key string, client netip.Addr, at int64) bool {
	if key == "" || !client.IsValid() {
		return false
	}
	var buffer [96]byte
	text := AppendProbeClient(buffer[:0], client)
	text = append(text, ' ')
	text = strconv.AppendInt(text, EpochOfProbes(at), 10)
	text = append(text, ' ')
	text = append(text, key...)
	return murmur2(text) < probeBelow
}

// EpochOfProbes numbers the epoch of a time, in unix milliseconds: Probe says the same of a client under
// one key throughout it.
func EpochOfProbes(at int64) int64 { return at / (1000 * ProbeEpoch) }

// AppendProbeClient appends a client as probes are drawn by it: an IPv4 address, or the
// four groups of an IPv6 /64, without "::".
func AppendProbeClient(dst []byte, client netip.Addr) []byte {
	if client = client.Unmap(); client.Is4() {
		return client.AppendTo(dst)
	}
	b := client.As16()
	for i := 0; i < 8; i += 2 {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = strconv.AppendUint(dst, uint64(b[i])<<8|uint64(b[i+1]), 16)
	}
	return dst
}

// murmur2 is MurmurHash2 (Austin Appleby 2008) with the seed 0, as nginx has it.
func murmur2(data []byte) uint32 {
	const m = 0x5bd1e995
	h := uint32(len(data))
	for len(data) >= 4 {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> 24
		h = h*m ^ k*m
		data = data[4:]
	}
	for i := len(data) - 1; i >= 0; i-- {
		h ^= uint32(data[i]) << (8 * i)
		if i == 0 {
			h *= m
		}
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

// CheckProbeKey refuses a key that could mean anything to an edge's configuration.
func CheckProbeKey(key string) error {
	if len(key) > maxProbeKey {
		return fmt.Errorf("a key of probes has %d bytes, at most %d", len(key), maxProbeKey)
	}
	for _, c := range []byte(key) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("the key of probes %q: want hexadecimal digits", cut(key))
		}
	}
	return nil
}
