package statuspage

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
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

// telltale are things that belong in no public text: ids of weir, what looks like a trait
// of a signature, fingerprints (JA3, JA4 and what is as long), numbers of networks, and
// programs with their versions as a User-Agent has them.
var telltale = regexp.MustCompile(`\b[im]\d{6}-\d{6}(-\d+)?\b|\b[a-z_]+="` +
	`|\b[tqd](\d\d|s[123])[di]\d{4}[0-9a-z]{2}_[0-9a-f]{12}|[0-9a-f]{12}_[0-9a-f]{12}` +
	`|(?i:\b[0-9a-f]{32}([0-9a-f]{8}|[0-9a-f]{32})?\b|\bASN? ?\d{4,10}\b|\b(ASN ?|AS)\d{1,3}\b)|\bAS \d{1,3}\b` +
	`|(?i:\b(curl|wget|mozilla|chrome|firefox|safari|edg|[a-z-]*bot)/v?\d)`)

// agentLike finds a program with its version; a protocol's is no program's.
var agentLike = regexp.MustCompile(`\b[A-Za-z][\w.+-]*/v?\d+\.\d[\w.]*`)

var protocolLike = regexp.MustCompile(`^(?i:HTTP|TLS|SSL)/[\d.]*$`)

// pathLike finds an absolute path: a slash after no word, or after a bracket or a quote.
// The path of an address of the web has its host before it.
var pathLike = regexp.MustCompile("(?:^|[\\s(\\[{\"'`„“‚‘«»<=:,;|–—])(/(?:[\\pL\\d._~%-]+/)*[\\pL\\d._~%-]*\\pL[^\\s]*)")

// fourLike finds an IPv4 address wherever it stands, also after letters and with its
// last parts crossed out.
var fourLike = regexp.MustCompile(`\d{1,3}\.(\d{1,3}\.(\d{1,3}\.(\d{1,3}|[xX*…]+)|[xX*…]+\.[xX*…]+)|[xX*…]+\.[xX*…]+\.[xX*…]+)`)

// sixLike finds the runs that may be an IPv6 address.
var sixLike = regexp.MustCompile(`[0-9A-Fa-f:.%]*:[0-9A-Fa-f:.%]*:[0-9A-Fa-f:.%]*`)

// Telltale finds what helps an attacker or names a person in a text for the public: an
// address, an id of weir, a trait, a fingerprint, a path, a program. "" is none.
func Telltale(text string) string {
	if found := telltale.FindString(text); found != "" {
		return found
	}
	if found := pathLike.FindStringSubmatch(text); found != nil {
		return found[1]
	}
	for _, found := range agentLike.FindAllString(text, -1) {
		if !protocolLike.MatchString(found) {
			return found
		}
	}
	if found := four(strings.NewReplacer("[.]", ".", "(.)", ".").Replace(text)); found != "" {
		return found
	}
	for _, run := range sixLike.FindAllString(text, -1) {
		if six(run) {
			return run
		}
	}
	return ""
}

// four finds an IPv4 address that is not a part of a longer number with dots.
func four(text string) string {
	for from := 0; from < len(text); {
		at := fourLike.FindStringIndex(text[from:])
		if at == nil {
			return ""
		}
		begin, end := from+at[0], from+at[1]
		found := text[begin:end]
		fits := true
		for part := range strings.SplitSeq(found, ".") {
			n, err := strconv.Atoi(part)
			fits = fits && (err != nil || n <= 255)
		}
		if fits {
			return found
		}
		from = begin + 1 // 999.203.0.113.7 holds one
	}
	return ""
}

// six says whether an IPv6 address is in a run of its characters, whatever a sentence puts
// around it: "ed:2001:db8::1:" of "Blocked:2001:db8::1: ...".
func six(run string) bool {
	is := func(s string) bool {
		addr, err := netip.ParseAddr(s)
		return err == nil && addr.Is6() && len(s) > 4
	}
	for _, part := range strings.FieldsFunc(run, func(r rune) bool { return r == '%' || r == '.' }) {
		for part != "" {
			if is(part) || is(strings.TrimSuffix(part, ":")) {
				return true
			}
			_, part, _ = strings.Cut(part, ":")
		}
	}
	return false
}
