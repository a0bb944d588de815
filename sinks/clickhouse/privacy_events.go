package clickhouse

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-project/weir/schemas"
)

// truncatedMark is at the end of a decision's value that named one client.
const truncatedMark = " (truncated)"

// events are events as the store may keep them: decisions against one client, and the sentences
// about them, hold addresses like requests do. Requests that evidence shows name no client.
func (f *filter) events(events []schemas.Event) []schemas.Event {
	if f.addresses != TruncatedAddresses && f.addresses != HashedAddresses {
		return events
	}
	kept := slices.Clone(events)
	for i := range kept {
		e := &kept[i]
		e.Cause, e.Undecided = f.sentence(e.Told()), nil // one text there
		if e.Decision != nil {
			e.Decision = f.decision(*e.Decision)
		}
	}
	return kept
}

func (f *filter) decision(d schemas.Decision) *schemas.Decision {
	switch d.Scope {
	case schemas.ScopeClient, schemas.ScopePrefix:
		d.Value = f.value(d.Value)
	}
	d.Reason = f.sentence(d.Reason)
	if d.Evidence != nil {
		e := *d.Evidence
		e.SQL = f.sentence(e.SQL)
		d.Evidence = &e
	}
	return &d
}

// value is what a decision is about: a client, or a prefix. Prefixes as wide as a network, or
// wider, name nobody.
func (f *filter) value(value string) string {
	prefix, err := netip.ParsePrefix(value)
	if addr, addrErr := netip.ParseAddr(value); addrErr == nil {
		prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil {
		return f.sentence(value)
	}
	if bits := prefix.Bits(); bits <= 24 && prefix.Addr().Is4() || bits <= 48 && prefix.Addr().Is6() && !prefix.Addr().Is4In6() {
		return value
	}
	kept := f.address(prefix.Addr())
	if f.addresses == TruncatedAddresses {
		kept += truncatedMark
	}
	return kept
}

// address is how one is kept, as requests with it are.
func (f *filter) address(addr netip.Addr) string {
	kept, _ := f.client(addr.WithZone("").As16())
	return netip.AddrFrom16(kept).Unmap().String()
}

// Addresses in a text. What only looks like one, such as a version of four numbers, is taken for one too:
// better a sentence less than an address more.
var (
	four  = regexp.MustCompile(`[0-9]{1,3}(?:\.[0-9]{1,3}){3}`)
	colon = regexp.MustCompile(`[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*`)
)

// unsure is from how many colons on a word is left out that is no address as it stands: no time
// of day has so many.
const unsure = 4

// sentence is a text with every address in it as it is kept.
func (f *filter) sentence(text string) string {
	text = colon.ReplaceAllStringFunc(text, func(found string) string {
		for _, word := range []string{found, strings.TrimRight(found, "."), strings.TrimRight(found, ".:"), strings.Trim(found, ".:")} {
			if addr, err := netip.ParseAddr(word); err == nil {
				return strings.Replace(found, word, f.address(addr), 1)
			}
		}
		if strings.Count(found, ":") >= unsure {
			return "(address)"
		}
		return found
	})
	return four.ReplaceAllStringFunc(text, func(found string) string {
		if addr, err := netip.ParseAddr(found); err == nil {
			return f.address(addr)
		}
		return found
	})
}
