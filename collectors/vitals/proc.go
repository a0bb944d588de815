package vitals

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-project/weir/schemas"
)

// readNetstat reads the kernel's own counts (proc_pid_net(5), netstat).
func (r *Reader) readNetstat(v *schemas.Vitals, after *counts) error {
	self, err := r.proc.Self()
	if err != nil {
		return err
	}
	stat, err := self.Netstat()
	if err != nil {
		return err
	}
	number := func(x *float64) uint64 {
		if x == nil || *x < 0 {
			return 0
		}
		return uint64(*x)
	}
	after.overflows, after.drops, after.syncookies = number(stat.ListenOverflows), number(stat.ListenDrops), number(stat.SyncookiesSent)
	if after.haveNetstat = true; r.before.haveNetstat {
		v.ListenOverflows = since(r.before.overflows, after.overflows)
		v.ListenDrops = since(r.before.drops, after.drops)
		v.Syncookies = since(r.before.syncookies, after.syncookies)
	}
	return nil
}

// readInterfaces reads the counts of every interface but the loopback.
func (r *Reader) readInterfaces(v *schemas.Vitals, after *counts) error {
	lines, err := r.proc.NetDev()
	if err != nil {
		return err
	}
	after.interfaces = make(map[string]schemas.InterfaceVitals, len(lines))
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		if name == "lo" || len(after.interfaces) == schemas.MaxInterfaces {
			continue
		}
		l := lines[name]
		now := schemas.InterfaceVitals{
			Name: name, ReceivedBytes: l.RxBytes, ReceivedPackets: l.RxPackets, ReceivedDropped: l.RxDropped + l.RxFIFO,
			SentBytes: l.TxBytes, SentPackets: l.TxPackets, SentDropped: l.TxDropped,
		}
		after.interfaces[name] = now
		before, known := r.before.interfaces[name]
		if !known {
			v.Interfaces = append(v.Interfaces, schemas.InterfaceVitals{Name: name})
			continue
		}
		v.Interfaces = append(v.Interfaces, schemas.InterfaceVitals{
			Name:            name,
			ReceivedBytes:   since(before.ReceivedBytes, now.ReceivedBytes),
			ReceivedPackets: since(before.ReceivedPackets, now.ReceivedPackets),
			ReceivedDropped: since(before.ReceivedDropped, now.ReceivedDropped),
			SentBytes:       since(before.SentBytes, now.SentBytes),
			SentPackets:     since(before.SentPackets, now.SentPackets),
			SentDropped:     since(before.SentDropped, now.SentDropped),
		})
	}
	return nil
}

func (r *Reader) readSockets(v *schemas.Vitals) error {
	four, err := r.proc.NetSockstat()
	if err != nil {
		return err
	}
	for _, p := range four.Protocols {
		if p.Protocol == "TCP" {
			v.Sockets = int64(p.InUse)
			if p.TW != nil {
				v.TimeWait = int64(*p.TW)
			}
		}
	}
	six, err := r.proc.NetSockstat6()
	if err != nil {
		return nil // without IPv6
	}
	for _, p := range six.Protocols {
		if p.Protocol == "TCP6" {
			v.Sockets += int64(p.InUse)
		}
	}
	return nil
}

// readConntrack reads how many connections the firewall tracks; a kernel that tracks
// none does not say.
func (r *Reader) readConntrack(v *schemas.Vitals) error {
	for name, into := range map[string]*int64{"nf_conntrack_count": &v.Conntrack, "nf_conntrack_max": &v.ConntrackMax} {
		text, err := os.ReadFile(filepath.Join(r.o.Proc, "sys/net/netfilter", name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if *into, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) readLoad(v *schemas.Vitals) error {
	load, err := r.proc.LoadAvg()
	if err == nil {
		v.Load = load.Load1
	}
	return err
}

func (r *Reader) readMemory(v *schemas.Vitals) error {
	memory, err := r.proc.Meminfo()
	if err != nil {
		return err
	}
	if memory.MemTotalBytes != nil {
		v.MemoryTotal = int64(*memory.MemTotalBytes)
	}
	if memory.MemAvailableBytes != nil {
		v.MemoryAvailable = int64(*memory.MemAvailableBytes)
	}
	return nil
}

// readPressure reads what share of the last ten seconds something waited (Documentation/
// accounting/psi.rst); a kernel may be built without it.
func (r *Reader) readPressure(v *schemas.Vitals) error {
	for resource, into := range map[string]*float64{"cpu": &v.CPUPressure, "memory": &v.MemoryPressure, "io": &v.IOPressure} {
		stats, err := r.proc.PSIStatsForResource(resource)
		if err != nil {
			if _, missing := os.Stat(filepath.Join(r.o.Proc, "pressure", resource)); missing != nil {
				return nil
			}
			return err
		}
		if stats.Some != nil {
			*into = stats.Some.Avg10 / 100
		}
	}
	return nil
}
