package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	nft "github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The names of the two tables.
const (
	clientsTable  = "weir"
	prefixesTable = "weir_prefixes"
)

// Bounds of what goes to the kernel.
const (
	perMessage = 1000   // elements: an attribute of netlink has 64 KiB
	perBatch   = 20_000 // elements: a transaction
	socketRoom = 8 << 20
	seenMost   = 4096 // clients that are counted at once, of each table and family
	seenKept   = time.Minute
)

// kernel is the connection to nf_tables.
type kernel struct {
	conn   *nft.Conn
	tables [2]*table // of clients, of prefixes
}

// table is one of the two: the same rules on other kinds of sets.
type table struct {
	*nft.Table
	intervals bool
	families  [2]family // IPv4, IPv6
}

// family is what a table has for one version of IP.
type family struct {
	drop, allow, seen *nft.Set
	dropped           *nft.CounterObj
}

// dial connects, in the namespace of a file descriptor, or, where that is 0, this one.
func dial(namespace int) (*kernel, error) {
	options := []nft.ConnOption{nft.AsLasting(), nft.WithSockOptions(
		func(c *netlink.Conn) error { return c.SetReadBuffer(socketRoom) },
		func(c *netlink.Conn) error { return c.SetWriteBuffer(socketRoom) })}
	if namespace > 0 {
		options = append(options, nft.WithNetNSFd(namespace))
	}
	conn, err := nft.New(options...)
	if err != nil {
		return nil, fmt.Errorf("nftables: %w; it needs CAP_NET_ADMIN", err)
	}
	return &kernel{conn: conn, tables: [2]*table{newTable(clientsTable, false), newTable(prefixesTable, true)}}, nil
}

func newTable(name string, intervals bool) *table {
	t := &table{Table: &nft.Table{Name: name, Family: nft.TableFamilyINet}, intervals: intervals}
	for i, kind := range []nft.SetDatatype{nft.TypeIPAddr, nft.TypeIP6Addr} {
		version := []string{"4", "6"}[i]
		set := func(name string) *nft.Set {
			return &nft.Set{Table: t.Table, Name: name + version, KeyType: kind, KeyByteOrder: binaryutil.BigEndian}
		}
		f := &t.families[i]
		f.drop, f.allow, f.seen = set("drop"), set("allow"), set("seen")
		f.drop.HasTimeout, f.drop.Interval = true, intervals
		f.allow.Interval = true
		f.seen.Dynamic, f.seen.HasTimeout, f.seen.Timeout, f.seen.Size = true, true, seenKept, seenMost
		f.dropped = &nft.CounterObj{Table: t.Table, Name: "dropped" + version}
	}
	return t
}

// present reports whether both tables stand as they were set up.
func (k *kernel) present() bool {
	for _, t := range k.tables {
		for _, f := range t.families {
			if _, err := k.conn.GetSetByName(t.Table, f.drop.Name); err != nil {
				return false
			}
		}
		if chain, err := k.conn.ListChain(t.Table, chainName); err != nil || chain == nil {
			return false
		}
	}
	return true
}

// setUp makes the tables, or makes them anew around the elements that they have. Where
// an older weir left what does not fit, it is replaced as a whole.
func (k *kernel) setUp(o *Options) error {
	for _, t := range k.tables {
		if err := k.setUpTable(t, o, false); err != nil {
			if again := k.setUpTable(t, o, true); again != nil {
				return fmt.Errorf("nftables: table %s: %w", t.Name, again)
			}
		}
	}
	return nil
}

const chainName = "prerouting"

func (k *kernel) setUpTable(t *table, o *Options, anew bool) error {
	c := k.conn
	c.AddTable(t.Table)
	if anew {
		c.DelTable(t.Table)
		c.AddTable(t.Table)
	}
	ports := &nft.Set{Table: t.Table, Name: "ports", KeyType: nft.TypeInetService, KeyByteOrder: binaryutil.BigEndian}
	protocols := &nft.Set{Table: t.Table, Name: "protocols", KeyType: nft.TypeInetProto}
	var portKeys []nft.SetElement
	for _, port := range o.Ports {
		portKeys = append(portKeys, nft.SetElement{Key: binary.BigEndian.AppendUint16(nil, port)})
	}
	problem := errors.Join(
		k.fill(ports, portKeys), k.fill(protocols, []nft.SetElement{{Key: []byte{unix.IPPROTO_TCP}}, {Key: []byte{unix.IPPROTO_UDP}}}))
	accept := nft.ChainPolicyAccept
	base := c.AddChain(&nft.Chain{
		Table: t.Table, Name: chainName, Type: nft.ChainTypeFilter, Policy: &accept,
		Hooknum: nft.ChainHookPrerouting, Priority: nft.ChainPriorityRaw, // before connections are tracked
	})
	c.FlushChain(base)
	for i := range t.families {
		f := &t.families[i]
		problem = errors.Join(problem, k.fill(f.allow, intervals(o.Allow, i == 0, nil)), c.AddSet(f.drop, nil), c.AddSet(f.seen, nil))
		c.AddObj(f.dropped)
		dropping := c.AddChain(&nft.Chain{Table: t.Table, Name: "dropping" + []string{"4", "6"}[i]})
		c.FlushChain(dropping)
		rules(c, t, f, i == 0, base, dropping, ports, protocols, o.Sample)
	}
	if err := c.Flush(); err != nil {
		return err
	}
	return problem
}

// allow makes the sets of those whom nothing touches hold just these, at once.
func (k *kernel) allow(values []netip.Prefix) error {
	for _, t := range k.tables {
		for i := range t.families {
			set := t.families[i].allow
			k.conn.FlushSet(set)
			for part := range slices.Chunk(intervals(values, i == 0, nil), perMessage) {
				if err := k.conn.SetAddElements(set, part); err != nil {
					return err
				}
			}
		}
	}
	return k.conn.Flush()
}

// fill makes a set hold just these.
func (k *kernel) fill(s *nft.Set, elements []nft.SetElement) error {
	if err := k.conn.AddSet(s, nil); err != nil {
		return err
	}
	k.conn.FlushSet(s)
	for part := range slices.Chunk(elements, perMessage) {
		if err := k.conn.SetAddElements(s, part); err != nil {
			return err
		}
	}
	return nil
}

// rules are those of one table and family:
//
//	saddr @allow return
//	protocol @protocols, port @ports, saddr (or its /64) @drop -> dropping:
//	    one in so many: count saddr in @seen
//	    counter dropped, drop
func rules(c *nft.Conn, t *table, f *family, v4 bool, base, dropping *nft.Chain, ports, protocols *nft.Set, sample int) {
	const register, second = 1, 2
	version, offset, length := byte(unix.NFPROTO_IPV4), uint32(12), uint32(4)
	if !v4 {
		version, offset, length = unix.NFPROTO_IPV6, 8, 16
	}
	isFamily := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{version}},
	}
	source := []expr.Any{&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length}}
	client := slices.Clone(source)
	if !v4 && !t.intervals { // by the /64
		client = append(client, &expr.Bitwise{
			SourceRegister: register, DestRegister: register, Len: 16,
			Mask: slices.Concat(slices.Repeat([]byte{0xff}, 8), make([]byte, 8)), Xor: make([]byte, 16),
		})
	}
	in := func(s *nft.Set) expr.Any {
		return &expr.Lookup{SourceRegister: register, SetName: s.Name, SetID: s.ID}
	}
	add := func(chain *nft.Chain, parts ...[]expr.Any) {
		c.AddRule(&nft.Rule{Table: t.Table, Chain: chain, Exprs: slices.Concat(parts...)})
	}
	add(base, isFamily, source, []expr.Any{in(f.allow), &expr.Verdict{Kind: expr.VerdictReturn}})
	add(base, isFamily,
		[]expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register}, in(protocols),
			&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, in(ports)},
		client, []expr.Any{in(f.drop), &expr.Verdict{Kind: expr.VerdictJump, Chain: dropping.Name}})
	add(dropping,
		[]expr.Any{&expr.Numgen{Register: second, Modulus: uint32(sample), Type: unix.NFT_NG_RANDOM},
			&expr.Cmp{Op: expr.CmpOpEq, Register: second, Data: make([]byte, 4)}},
		client, []expr.Any{&expr.Dynset{
			SrcRegKey: register, SetName: f.seen.Name, SetID: f.seen.ID, Operation: uint32(unix.NFT_DYNSET_OP_ADD), Exprs: []expr.Any{&expr.Counter{}},
		}})
	add(dropping, []expr.Any{&expr.Objref{Type: int(nft.ObjTypeCounter), Name: f.dropped.Name}, &expr.Verdict{Kind: expr.VerdictDrop}})
}

func element(value netip.Prefix, timeout time.Duration) nft.SetElement {
	return nft.SetElement{Key: value.Addr().AsSlice(), Timeout: timeout}
}

// update is one change of a client's element: to be gone in a while, or now (0).
type update struct {
	value netip.Prefix
	last  time.Duration
	fresh bool // the kernel does not have it
}

// change puts clients into the set, moves their ends, and takes them out, in one
// transaction. What the kernel has is first added once more, so that its removal cannot
// fail: it may just have let go of it by itself.
func (k *kernel) change(updates []update) error {
	for part := range slices.Chunk(updates, perMessage) {
		for i, v4 := range []bool{true, false} {
			set := k.tables[0].families[i].drop
			var all, stay []nft.SetElement
			for _, u := range part {
				if u.value.Addr().Is4() != v4 {
					continue
				}
				if !u.fresh {
					all = append(all, element(u.value, seenKept))
				}
				if u.last > 0 {
					stay = append(stay, element(u.value, u.last))
				}
			}
			if len(all) > 0 {
				if err := errors.Join(k.conn.SetAddElements(set, all), k.conn.SetDeleteElements(set, all)); err != nil {
					return err
				}
			}
			if len(stay) > 0 {
				if err := k.conn.SetAddElements(set, stay); err != nil {
					return err
				}
			}
		}
	}
	return k.conn.Flush()
}

// prefixes makes the interval sets hold just these, each as long as last says.
func (k *kernel) prefixes(values []netip.Prefix, last map[netip.Prefix]time.Duration) error {
	for i, v4 := range []bool{true, false} {
		set := k.tables[1].families[i].drop
		k.conn.FlushSet(set)
		for part := range slices.Chunk(intervals(values, v4, last), perMessage) {
			if err := k.conn.SetAddElements(set, part); err != nil {
				return err
			}
		}
	}
	return k.conn.Flush()
}

// intervals are the elements of an interval set for the prefixes of one family: the
// start of each span and its end; spans that touch are joined, and last as long as the
// one of them that lasts longest.
func intervals(values []netip.Prefix, v4 bool, last map[netip.Prefix]time.Duration) []nft.SetElement {
	var of []netip.Prefix
	for _, value := range values {
		if value.Addr().Is4() == v4 {
			of = append(of, value.Masked())
		}
	}
	slices.SortFunc(of, func(a, b netip.Prefix) int { return a.Compare(b) })
	var elements []nft.SetElement
	var start, end netip.Addr // of the open span; end is the first address behind it, if there is one
	var timeout time.Duration
	closeSpan := func() {
		if start.IsValid() {
			elements = append(elements, nft.SetElement{Key: start.AsSlice(), Timeout: timeout})
		}
		if end.IsValid() {
			elements = append(elements, nft.SetElement{Key: end.AsSlice(), IntervalEnd: true})
		}
	}
	for _, value := range of {
		behind := lastOf(value).Next()
		if start.IsValid() && (!end.IsValid() || value.Addr().Compare(end) <= 0) { // joins the open span
			if end.IsValid() && (!behind.IsValid() || behind.Compare(end) > 0) {
				end = behind
			}
			timeout = max(timeout, last[value])
			continue
		}
		closeSpan()
		start, end, timeout = value.Addr(), behind, last[value]
	}
	closeSpan()
	return elements
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	addr, _ := netip.AddrFromSlice(b) // of a length that is right
	return addr
}

// clients are the elements that the kernel has, each with the life that is left.
func (k *kernel) clients() (map[netip.Prefix]time.Duration, error) {
	all := map[netip.Prefix]time.Duration{}
	for i, bits := range []int{32, 64} {
		elements, err := k.conn.GetSetElements(k.tables[0].families[i].drop)
		if err != nil {
			return nil, fmt.Errorf("nftables: %w", err)
		}
		for _, e := range elements {
			if addr, ok := netip.AddrFromSlice(e.Key); ok {
				all[netip.PrefixFrom(addr, bits)] = e.Expires
			}
		}
	}
	return all, nil
}

// counted reads what was sampled and the whole of what was dropped since it was last
// asked, and begins anew.
func (k *kernel) counted() (seen map[netip.Addr]uint64, packets, bytes uint64, err error) {
	seen = map[netip.Addr]uint64{}
	for _, t := range k.tables {
		for _, f := range t.families {
			counter, err := k.conn.ResetObject(f.dropped)
			if err != nil {
				return seen, packets, bytes, fmt.Errorf("nftables: %w", err)
			}
			c, ok := counter.(*nft.CounterObj)
			if !ok || c.Packets == 0 {
				continue
			}
			packets, bytes = packets+c.Packets, bytes+c.Bytes
			elements, err := k.conn.GetSetElements(f.seen)
			if err != nil {
				return seen, packets, bytes, fmt.Errorf("nftables: %w", err)
			}
			for _, e := range elements {
				if addr, ok := netip.AddrFromSlice(e.Key); ok && e.Counter != nil {
					seen[addr] += e.Counter.Packets
				}
			}
			k.conn.FlushSet(f.seen)
		}
	}
	return seen, packets, bytes, k.conn.Flush()
}

// remove takes both tables away.
func (k *kernel) remove() error {
	for _, t := range k.tables {
		k.conn.AddTable(t.Table) // so that its removal cannot fail
		k.conn.DelTable(t.Table)
	}
	return k.conn.Flush()
}

func (k *kernel) close() { _ = k.conn.CloseLasting() }
