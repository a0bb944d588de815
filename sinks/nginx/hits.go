package nginx

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/weir-project/weir/schemas"
)

// A hit is one measure as a value of a map: "<sites>:<action>:<id>,", where
// sites numbers a set of sites and 0 is every site; an h after the number says that a
// person took it. What matches several
// measures has them one after the other.
type hit struct {
	sites  int
	hand   bool
	action schemas.Action
	// limited: only what is beyond limit_req's rate is stopped.
	limited bool
	id      string
}

// limit stands for throttle in the hits and the verdict of what is limited.
const limit = "limit"

// maxHits bounds the measures of one key, so that its value stays one word of
// the configuration: the severest stay.
const maxHits = 24

func (h hit) append(dst []byte) []byte {
	dst = strconv.AppendInt(dst, int64(h.sites), 10)
	if h.hand {
		dst = append(dst, 'h')
	}
	dst = append(dst, ':')
	if h.limited {
		dst = append(dst, limit...)
	} else {
		dst = append(dst, h.action...)
	}
	dst = append(dst, ':')
	dst = append(dst, h.id...)
	return append(dst, ',')
}

// severity orders hits: what is limited is the mildest.
func (h hit) severity() int {
	if h.limited {
		return 0
	}
	return h.action.Severity()
}

func appendHits(dst []byte, hits []hit) []byte {
	if len(hits) > 1 {
		slices.SortFunc(hits, func(a, b hit) int {
			return cmp.Or(b.severity()-a.severity(), a.sites-b.sites, cmp.Compare(a.id, b.id))
		})
	}
	for _, h := range hits[:min(len(hits), maxHits)] {
		dst = h.append(dst)
	}
	return dst
}

// siteSets numbers the sets of sites that measures name, so that an address's
// entry says only a number and the sites stand once.
type siteSets struct {
	numbers map[string]int
	members map[string][]int // site -> its sets, ascending
}

// maxSets bounds the sets that one site is in: its list is one word.
const maxSets = 500

func siteKey(sites []string) string {
	if len(sites) == 1 {
		return sites[0]
	}
	sites = slices.Clone(sites)
	sort.Strings(sites)
	return strings.Join(slices.Compact(sites), " ")
}

func newSiteSets(measures []Measure) siteSets {
	s := siteSets{numbers: map[string]int{}, members: map[string][]int{}}
	for i := range measures {
		if len(measures[i].Sites) > 0 {
			s.numbers[siteKey(measures[i].Sites)] = 0
		}
	}
	keys := make([]string, 0, len(s.numbers))
	for key := range s.numbers {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for n, key := range keys {
		s.numbers[key] = n + 1
		for _, site := range strings.Split(key, " ") {
			s.members[site] = append(s.members[site], n+1)
		}
	}
	return s
}

func (s siteSets) number(sites []string) (int, error) {
	if len(sites) == 0 {
		return 0, nil
	}
	n := s.numbers[siteKey(sites)]
	for _, site := range sites {
		if _, err := siteOf(site); err != nil {
			return 0, err
		}
		if len(s.members[site]) > maxSets {
			return 0, fmt.Errorf("site %q is in %d different sets of sites, at most %d", site, len(s.members[site]), maxSets)
		}
	}
	return n, nil
}

// write defines the variable that lists the sets of the request's site.
func (s siteSets) write(b *bytes.Buffer, prefix string) {
	fmt.Fprintf(b, "map h$host $%s_sites {\n    default |0|;\n", prefix)
	sites := make([]string, 0, len(s.members))
	for site, sets := range s.members {
		if _, err := siteOf(site); err == nil && len(sets) <= maxSets {
			sites = append(sites, site)
		}
	}
	sort.Strings(sites)
	for _, site := range sites {
		fmt.Fprintf(b, "    %s |0|", hostKey(site))
		for _, n := range s.members[site] {
			fmt.Fprintf(b, "%d|", n)
		}
		b.WriteString(";\n")
	}
	b.WriteString("}\n")
}

// hostKey is a key for one site in a map over "h$host". The h keeps names such
// as "default" from being keywords. A long name would not fit nginx's hash bucket
// (64 bytes by default), and one with other bytes needs quoting: both as patterns.
func hostKey(site string) string {
	simple := len(site) <= 40
	for _, c := range []byte(site) {
		simple = simple && (plain(c) || c == '.' || c == '-')
	}
	if simple {
		return "h" + site
	}
	key, _ := keyPattern("^h" + literal(site) + `\z`) // 255 bytes are short enough
	return key
}

// writeChoice defines a verdict, "<action> <id>", from hits: the severest that
// counts on the request's site, or what otherwise is. mark is h where only what persons
// took counts, and "h?" where some is theirs.
func (l *lists) writeChoice(b *bytes.Buffer, prefix, verdict, mark, hits, otherwise string) {
	fmt.Fprintf(b, "map \"%s;$%s_sites\" $%s_%s {\n    default %s;\n", hits, prefix, prefix, verdict, otherwise)
	actions := []schemas.Action{schemas.Block, schemas.Challenge, schemas.Throttle}
	if l.limited {
		actions = append(actions, limit)
	}
	for _, action := range actions {
		fmt.Fprintf(b, `    "~(?:^|,)([0-9]+)%s:%s:([^,;]+),[^;]*;[0-9|]*\|\1\|" "%s $2";`+"\n", mark, action, action)
	}
	b.WriteString("}\n")
}
