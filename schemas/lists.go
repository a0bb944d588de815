package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
)

// SiteList is what is known of a site: paths, agents or query keys in the form of Listed.Key, ascending,
// each once.
type SiteList struct {
	Of      Listed
	Site    string
	Entries []string
}

// ListPart is one message of a list. A list is whole where all its parts, 1 to Parts, of
// one Version have come: until then the one before counts.
type ListPart struct {
	Token   uint64 // the detector's lease: an older one's list is not taken
	Version uint64 // grows with every list of a token
	Time    time.Time
	Part    int
	Parts   int
	SiteList
}

// subjectOfLists are where the lists are, by what they are of: whoever does not know of one does not read it.
var subjectOfLists = [NumListed]string{"weir.edges.paths", "weir.edges.agents", "weir.edges.queries"}

// SubjectsOfLists are the lists of all sites.
func SubjectsOfLists() (all []string) {
	for _, subject := range subjectOfLists {
		all = append(all, subject+".>")
	}
	return all
}

// SubjectOfList is where one part of a site's list is: the newest counts, and is all that
// is kept.
func SubjectOfList(of Listed, site string, part int) string {
	h := fnv.New64a()
	h.Write([]byte(site))
	return fmt.Sprintf("%s.%016x.%d", subjectOfLists[of], h.Sum64(), part)
}

// errList is wrapped by every error about a message of a list.
var errList = errors.New("malformed list of what is known of a site")

const (
	pathsVersion = 1 // a list of paths
	listVersion  = 2 // of anything, which it says

	maxListParts = 16        // messages of one list
	listPart     = 300 << 10 // bytes from which on another message is begun
)

// EncodeList makes the messages of a list. Those that say how many there are share token,
// version and time of head.
func EncodeList(head ListPart) (messages [][]byte, err error) {
	if err := head.check(); err != nil {
		return nil, err
	}
	var parts [][]string
	size, from := 0, 0
	for i, entry := range head.Entries {
		if size += len(entry) + 4; size > listPart {
			parts, from, size = append(parts, head.Entries[from:i]), i, len(entry)+4
		}
	}
	parts = append(parts, head.Entries[from:])
	for n, entries := range parts {
		raw := []byte{pathsVersion}
		if head.Of != ListedPaths {
			raw = []byte{listVersion, byte(head.Of)}
		}
		for _, v := range []uint64{head.Token, head.Version, uint64(head.Time.UnixMilli()), uint64(n + 1), uint64(len(parts)), uint64(len(head.Site))} {
			raw = binary.AppendUvarint(raw, v)
		}
		raw = append(raw, head.Site...)
		last := ""
		for _, entry := range entries {
			same := sharedPrefix(last, entry)
			raw = binary.AppendUvarint(raw, uint64(same))
			raw = binary.AppendUvarint(raw, uint64(len(entry)-same))
			raw, last = append(raw, entry[same:]...), entry
		}
		messages = append(messages, s2.Encode(nil, raw))
	}
	return messages, nil
}

func sharedPrefix(a, b string) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// DecodeList reads a message, whatever it holds.
func DecodeList(message []byte) (*ListPart, error) {
	raw, err := decompress(message, MaxPanesDecoded)
	of := ListedPaths
	switch {
	case err == nil && len(message) <= MaxMessage && len(raw) > 0 && raw[0] == pathsVersion:
		raw = raw[1:]
	case err == nil && len(message) <= MaxMessage && len(raw) > 1 && raw[0] == listVersion && raw[1] < byte(NumListed):
		of, raw = Listed(raw[1]), raw[2:]
	default:
		return nil, fmt.Errorf("%w: %d bytes, or another version", errList, len(message))
	}
	in := regularsReader{rest: raw}
	p := &ListPart{SiteList: SiteList{Of: of}, Token: in.number(1<<64 - 1), Version: in.number(1<<64 - 1), Time: time.UnixMilli(int64(in.number(1 << 50))).UTC(),
		Part: int(in.number(maxListParts)), Parts: int(in.number(maxListParts))}
	p.Site = string(in.bytes(in.number(MaxSite)))
	last := ""
	for len(in.rest) > 0 && !in.failed && len(p.Entries) < MaxSitePaths {
		same, rest := in.number(uint64(len(last))), in.bytes(in.number(MaxKnownPath))
		if !in.failed {
			last = last[:same] + string(rest)
			p.Entries = append(p.Entries, last)
		}
	}
	if in.failed || len(in.rest) > 0 || p.Part < 1 || p.Part > p.Parts {
		return nil, fmt.Errorf("%w: it does not hold together", errList)
	}
	return p, p.check()
}

// check says what no list is.
func (s *SiteList) check() error {
	if s.Site == "" || len(s.Site) > MaxSite {
		return fmt.Errorf("%w: a site's name of %d bytes", errList, len(s.Site))
	}
	if s.Of >= NumListed {
		return fmt.Errorf("%w: of %q, of what nobody knows", errList, s.Site)
	}
	most, text := s.Of.Bounds()
	if len(s.Entries) > most {
		return fmt.Errorf("%w: %d %s of %q, at most %d", errList, len(s.Entries), s.Of, s.Site, most)
	}
	size := 0
	var key []byte
	for i, entry := range s.Entries {
		size += len(entry) + 2
		var ok bool
		if key, ok = s.Of.Key(key[:0], []byte(entry)); !ok || string(key) != entry {
			return fmt.Errorf("%w: %.80q of %q is not in the form of known %s", errList, entry, s.Site, s.Of)
		}
		if i > 0 && strings.Compare(s.Entries[i-1], entry) >= 0 {
			return fmt.Errorf("%w: %s of %q out of order", errList, s.Of, s.Site)
		}
	}
	if size > text {
		return fmt.Errorf("%w: %d bytes of %q, at most %d", errList, size, s.Site, text)
	}
	return nil
}

// ListBook gathers the parts of sites' lists. The zero value is empty. Not for concurrent
// use.
type ListBook struct {
	token uint64
	lists map[listName]*gatheredList
}

type listName struct {
	of   Listed
	site string
}

type gatheredList struct {
	token, version uint64
	parts          [][]string
	missing        int
}

// maxListed bounds the lists of which parts are held.
const maxListed = int(NumListed) * 4_096

// Take adds a part, and returns the list that it makes whole, nil where it makes none. What
// is older than what is known is passed over.
func (b *ListBook) Take(p *ListPart) *SiteList {
	if b.lists == nil {
		b.lists = make(map[listName]*gatheredList)
	}
	name := listName{p.Of, p.Site}
	g := b.lists[name]
	switch {
	case p.Token < b.token:
		return nil
	case g == nil && len(b.lists) >= maxListed:
		return nil
	case g != nil && (p.Token < g.token || p.Token == g.token && p.Version < g.version):
		return nil
	case g == nil || p.Token != g.token || p.Version != g.version || p.Parts != len(g.parts):
		g = &gatheredList{token: p.Token, version: p.Version, parts: make([][]string, p.Parts), missing: p.Parts}
		b.lists[name] = g
	}
	b.token = p.Token
	if g.missing == 0 {
		return nil // told again
	}
	if g.parts[p.Part-1] == nil {
		g.missing--
	}
	if g.parts[p.Part-1] = p.Entries; p.Entries == nil {
		g.parts[p.Part-1] = []string{}
	}
	if g.missing > 0 {
		return nil
	}
	whole := &SiteList{Of: p.Of, Site: p.Site, Entries: slices.Concat(g.parts...)}
	for i := range g.parts {
		g.parts[i] = nil // the list has them
	}
	if whole.check() != nil {
		return nil
	}
	return whole
}
