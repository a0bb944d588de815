package statuspage

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// momentLayout is how a moment is written: the same in every language.
const momentLayout = "2006-01-02 15:04 MST"

// facts are all that a draft is made of: names that the owner gave, and moments.
type facts struct {
	affected     []string // public names
	since        time.Time
	until        time.Time
	next         time.Time
	from         time.Time
	zone         *time.Location
	template     string
	key          string // of the draft's text, where there is no template
	titleKey     string
	withoutTitle bool
}

// maxAffected bounds the names that a draft lists.
const maxAffected = 5

// words are title and text in each language.
func (f *facts) words(languages []Texts) (title, text Words) {
	title, text = Words{}, Words{}
	for _, t := range languages {
		pairs := f.pairs(t)
		titleKey, textKey := f.titleKey, f.key
		if f.template != "" {
			titleKey, textKey = "template."+f.template+".title", "template."+f.template+".text"
		}
		text[t.Tag] = trim(t.Get(textKey, pairs...), MaxText)
		if !f.withoutTitle {
			title[t.Tag] = trim(t.Get(titleKey, pairs...), MaxTitle)
		}
	}
	if f.withoutTitle {
		title = nil
	}
	return title, text
}

func (f *facts) pairs(t Texts) []string {
	names := f.affected
	more := ""
	if len(names) > maxAffected {
		more = fmt.Sprintf(" +%d", len(names)-maxAffected)
		names = names[:maxAffected]
	}
	safe := make([]string, len(names))
	for i, n := range names { // a name cannot bring a placeholder in
		safe[i] = strings.NewReplacer("{", "(", "}", ")").Replace(n)
	}
	return []string{
		"affected", t.list(safe) + more,
		"since", f.moment(f.since), "until", f.moment(f.until), "next", f.moment(f.next), "from", f.moment(f.from),
	}
}

func (f *facts) moment(t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	return t.In(f.zone).Format(momentLayout)
}

// trim cuts a text at a rune's boundary.
func trim(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-3], "") + "…"
}

// telltale are things that belong in no public text: ids of weir, and what looks like a
// trait of a signature.
var telltale = regexp.MustCompile(`\b[im]\d{6}-\d{6}(-\d+)?\b|\b[a-z_]+="`)

// addressLike finds what may be an address or a prefix.
var addressLike = regexp.MustCompile(`[0-9A-Fa-f:.]*[:.][0-9A-Fa-f:.]*[0-9A-Fa-f:](/\d{1,3})?`)

// Telltale finds what helps an attacker or names a person in a text for the public: an
// address, an id of weir, a trait. "" is none.
func Telltale(text string) string {
	if found := telltale.FindString(text); found != "" {
		return found
	}
	for _, word := range addressLike.FindAllString(text, -1) {
		bare, _, _ := strings.Cut(strings.Trim(word, "."), "/")
		if addr, err := netip.ParseAddr(bare); err == nil && (addr.Is4() || len(bare) > 4) {
			return word
		}
		if host, _, ok := strings.Cut(bare, ":"); ok { // address:port
			if addr, err := netip.ParseAddr(host); err == nil && addr.Is4() {
				return word
			}
		}
	}
	return ""
}
