package nginx

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// regularsPace bounds how often regulars alone lead to a reload.
const regularsPace = time.Minute

// RegularList is who the sites' regulars are, as nginx's lists: an address and the numbers
// of its sites, "192.0.2.1-192.0.2.1 |1|4|;".
type RegularList struct {
	sites        []string // their numbers are their places, from 1 on
	list4, list6 []byte
}

// NewRegularList makes the lists; a site whose name nginx cannot carry is left out.
func NewRegularList(lists ...[]schemas.SiteRegulars) *RegularList {
	byName := make(map[string]int)
	for _, list := range lists {
		for _, s := range list {
			if _, err := siteOf(s.Site); err == nil {
				byName[s.Site] = 0
			}
		}
	}
	r := &RegularList{sites: sortedKeys(byName)}
	for i, site := range r.sites {
		byName[site] = i + 1
	}
	at := make(map[netip.Addr][]int)
	for _, list := range lists {
		for _, s := range list {
			if n := byName[s.Site]; n > 0 {
				for _, client := range s.Clients {
					at[client] = append(at[client], n)
				}
			}
		}
	}
	clients := make([]netip.Addr, 0, len(at))
	for client := range at {
		clients = append(clients, client)
	}
	slices.SortFunc(clients, netip.Addr.Compare)
	for _, client := range clients {
		c := clientList{}
		c.add(client, hit{})
		numbers := at[client]
		slices.Sort(numbers)
		if len(c.v4) > 0 {
			r.list4 = appendNumbers(appendRange4(r.list4, uint32(c.v4[0]>>32)), numbers)
		} else {
			r.list6 = appendNumbers(append(append6(r.list6, c.v6[0].network), ' '), numbers)
		}
	}
	return r
}

// maxRegularSites bounds the sites of one address, so that they stay one word.
const maxRegularSites = 64

func appendNumbers(dst []byte, numbers []int) []byte {
	dst = append(dst, '|')
	for _, n := range numbers[:min(len(numbers), maxRegularSites)] {
		dst = append(strconv.AppendInt(dst, int64(n), 10), '|')
	}
	return append(dst, ';', '\n')
}

func (r *RegularList) empty() bool { return r == nil || len(r.list4)+len(r.list6) == 0 }

// write defines $<prefix>_regular: 1 where the client is a regular of the request's site.
func (r *RegularList) write(b *bytes.Buffer, prefix string, include func(name string, content []byte) string) {
	fmt.Fprintf(b, "map h$host $%s_regular_site {\n    default \"\";\n", prefix)
	for i, site := range r.sites {
		fmt.Fprintf(b, "    %s %d;\n", hostKey(site), i+1)
	}
	fmt.Fprintf(b, "}\ngeo $%s_regular4 {\n    ranges;\n    default \"\";\n%s}\n", prefix, include("regulars4.list", r.list4))
	writeNetwork6(b, prefix+"_regular_network6")
	fmt.Fprintf(b, "map $%s_regular_network6 $%s_regular6 {\n    default \"\";\n%s}\n", prefix, prefix, include("regulars6.list", r.list6))
	fmt.Fprintf(b, "map \"$%s_regular4$%s_regular6;$%s_regular_site\" $%s_regular {\n    default \"\";\n"+`    "~\|([0-9]+)\|[^;]*;\1\z" 1;`+"\n}\n", prefix, prefix, prefix, prefix)
}

// writeNetwork6 defines the text of the /64 of an IPv6 client, in four groups.
func writeNetwork6(b *bytes.Buffer, variable string) {
	fmt.Fprintf(b, "map $remote_addr $%s {\n    default \"\";\n", variable)
	for _, form := range network6 {
		pattern := strings.ReplaceAll(form[0], "H", "[0-9a-f]{1,4}")
		fmt.Fprintf(b, "    \"~%s\" \"%s\";\n", pattern, form[1])
	}
	b.WriteString("}\n")
}

// Regulars takes a part of the sites' regulars, in place of what that part was. They pass
// before every measure that no person has taken. What they are changes an nginx only where
// something is in force.
func (e *Enforcer) Regulars(part int, sites []schemas.SiteRegulars) {
	e.mutex.Lock()
	e.regulars[part], e.fresh = sites, true
	e.mutex.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// regularList is what counts now. The mutex is held.
func (e *Enforcer) regularList() *RegularList {
	if e.fresh {
		parts := make([][]schemas.SiteRegulars, 0, len(e.regulars))
		for _, part := range e.regulars {
			parts = append(parts, part)
		}
		e.regularsNow, e.fresh = NewRegularList(parts...), false
	}
	return e.regularsNow
}
