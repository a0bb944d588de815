package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Bounds of the regulars that one partition tells the edges: an eighth of a site's
// clients are in each, so a site has 100,000 at most.
const (
	MaxRegulars     = 32_000               // of all sites
	MaxSiteRegulars = 100_000 / Partitions // of one
	maxRegularSites = 4_096
)

// SubjectRegularsAll are the lists of regulars of all partitions.
const SubjectRegularsAll = "weir.edges.regulars.>"

// SubjectRegulars is where a partition's counter says who the sites' regulars are: the
// newest message counts, and is all that is kept.
func SubjectRegulars(partition int) string { return fmt.Sprintf("weir.edges.regulars.%d", partition) }

// Regulars are the most regular clients of the sites, as one partition knows them: who
// passes at an edge before what weir decided by itself. They hold no more of anybody than
// which addresses are known at which site.
type Regulars struct {
	Partition int
	Token     uint64 // the counter's lease: an older one's list is not taken
	Time      time.Time
	Sites     []SiteRegulars // by name, each once
}

// SiteRegulars are those of one site: IPv4 addresses and networks of IPv6 (/64), by
// Addr.Compare, each once.
type SiteRegulars struct {
	Site    string
	Clients []netip.Addr
}

const regularsVersion = 1

// EncodeRegulars makes the message: at most MaxRegulars clients make at most 400 KB.
func EncodeRegulars(r *Regulars) ([]byte, error) {
	out := []byte{regularsVersion}
	out = binary.AppendUvarint(out, uint64(r.Partition))
	out = binary.AppendUvarint(out, r.Token)
	out = binary.AppendUvarint(out, uint64(r.Time.Unix()))
	for _, s := range r.Sites {
		out = binary.AppendUvarint(out, uint64(len(s.Site)))
		out = append(out, s.Site...)
		v6 := slices.IndexFunc(s.Clients, func(a netip.Addr) bool { return !a.Is4() })
		if v6 < 0 {
			v6 = len(s.Clients)
		}
		for _, part := range [][]netip.Addr{s.Clients[:v6], s.Clients[v6:]} {
			out = binary.AppendUvarint(out, uint64(len(part)))
			last := uint64(0)
			for _, client := range part {
				n := numberOf(client)
				out = binary.AppendUvarint(out, n-last)
				last = n
			}
		}
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return out, nil
}

// numberOf is the address of IPv4, or the /64 of IPv6.
func numberOf(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8])
}

func clientOfNumber(n uint64, v6 bool) (netip.Addr, bool) {
	var b [16]byte
	if !v6 {
		binary.BigEndian.PutUint32(b[:4], uint32(n))
		return netip.AddrFrom4([4]byte(b[:4])), n>>32 == 0
	}
	binary.BigEndian.PutUint64(b[:8], n)
	a := netip.AddrFrom16(b)
	return a, !a.Is4In6()
}

// errRegulars is wrapped by every error about a message of regulars.
var errRegulars = errors.New("malformed list of regulars")

// check says what no list of regulars is.
func (r *Regulars) check() error {
	if r.Partition < 0 || r.Partition >= Partitions {
		return fmt.Errorf("%w: partition %d, there are %d", errRegulars, r.Partition, Partitions)
	}
	if len(r.Sites) > maxRegularSites {
		return fmt.Errorf("%w: over %d sites", errRegulars, maxRegularSites)
	}
	all := 0
	for i, s := range r.Sites {
		all += len(s.Clients)
		switch {
		case s.Site == "" || len(s.Site) > MaxSite:
			return fmt.Errorf("%w: a site's name of %d bytes", errRegulars, len(s.Site))
		case i > 0 && strings.Compare(r.Sites[i-1].Site, s.Site) >= 0:
			return fmt.Errorf("%w: the site %q out of order", errRegulars, s.Site)
		case len(s.Clients) > MaxSiteRegulars || all > MaxRegulars:
			return fmt.Errorf("%w: too many, of the site %q", errRegulars, s.Site)
		}
		for j := 1; j < len(s.Clients); j++ {
			if s.Clients[j-1].Compare(s.Clients[j]) >= 0 {
				return fmt.Errorf("%w: clients of the site %q out of order", errRegulars, s.Site)
			}
		}
	}
	return nil
}

// DecodeRegulars reads a message, whatever it holds.
func DecodeRegulars(message []byte) (*Regulars, error) {
	if len(message) > MaxMessage || len(message) == 0 || message[0] != regularsVersion {
		return nil, fmt.Errorf("%w: %d bytes, or another version", errRegulars, len(message))
	}
	in := regularsReader{rest: message[1:]}
	r := &Regulars{Partition: int(in.number(Partitions)), Token: in.number(1<<64 - 1), Time: time.Unix(int64(in.number(1<<40)), 0).UTC()}
	for len(in.rest) > 0 && !in.failed && len(r.Sites) <= maxRegularSites {
		s := SiteRegulars{Site: string(in.bytes(in.number(MaxSite)))}
		for _, v6 := range []bool{false, true} {
			last := uint64(0)
			for n := in.number(MaxSiteRegulars); n > 0 && !in.failed; n-- {
				last += in.number(1<<64 - 1)
				client, ok := clientOfNumber(last, v6)
				in.failed = in.failed || !ok
				s.Clients = append(s.Clients, client)
			}
		}
		r.Sites = append(r.Sites, s)
	}
	if in.failed {
		return nil, fmt.Errorf("%w: it does not hold together", errRegulars)
	}
	return r, r.check()
}

type regularsReader struct {
	rest   []byte
	failed bool
}

func (r *regularsReader) number(most uint64) uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > most {
		r.failed = true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *regularsReader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}
