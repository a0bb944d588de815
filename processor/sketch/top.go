package sketch

import "math"

// Heavy is a key with many requests. Its true count is between Least and Most.
type Heavy struct {
	Key         uint32 // of the hash, the lower half
	Least, Most uint64
	Name        []byte // what it is called, cut to NameMax bytes; nil where that was not kept
}

// Top appends to dst the keys that may have at least the share of all requests, the
// heaviest first, at most limit. Every key above the share is among them if the share is
// at least Missed() of them and limit does not cut it off. The names are valid until the tally
// changes.
func (t *Tally) Top(dst []Heavy, share float64, limit int) []Heavy {
	from := len(dst)
	least := max(share*float64(t.total), 1)
	if limit <= 0 {
		return dst
	}
	bound := uint64(math.Ceil(least))
	bound -= min(bound-1, t.Missed()) // a key of fewer cannot have the share, whatever it missed
	if bound > math.MaxUint32 {
		return dst
	}
	floor := order(uint32(bound-1), 0)
	for i := range t.slots {
		s := &t.slots[i]
		if order(s.n, s.key) <= floor || float64(t.most(s)) < least {
			continue
		}
		if len(dst)-from == limit {
			dst = dst[:len(dst)-1]
		}
		dst = append(dst, Heavy{Key: s.key, Least: uint64(s.n), Most: t.most(s)})
		for i := len(dst) - 1; i > from && before(&dst[i], &dst[i-1]); i-- {
			dst[i], dst[i-1] = dst[i-1], dst[i]
		}
		if len(dst)-from == limit {
			last := &dst[len(dst)-1]
			floor = max(floor, order(uint32(last.Least), last.Key))
		}
	}
	for i := from; i < len(dst); i++ {
		dst[i].Name = t.Name(dst[i].Key)
	}
	return dst
}

// Least is how many requests a key, given by its hash, has at least.
func (t *Tally) Least(hash uint64) uint64 {
	if s := t.find(uint32(hash)); s != nil {
		return uint64(s.n)
	}
	return 0
}

// order is greater where a key comes before another: it has more requests, or as many and a
// smaller hash.
func order(n, key uint32) uint64 { return uint64(n)<<32 | uint64(^key) }

func before(a, b *Heavy) bool {
	if a.Least != b.Least {
		return a.Least > b.Least
	}
	return a.Key < b.Key
}
