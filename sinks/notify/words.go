package notify

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// tell writes the message of a group, and notes what its readers then know.
func (s *story) tell(g *group, now time.Time) *Message {
	first := g.Last.IsZero()
	share, known, stopped := s.served(g, now)
	t := s.count(g, now)
	m := &Message{
		Thread: g.Thread, Kind: g.Pending, Time: now.UTC(), First: first,
		Last: g.open() == 0, Call: Nothing, Severity: Info,
	}
	if m.Last {
		m.Kind = Closed
	} else if first {
		m.Kind = Opened
	}
	if known {
		rounded := math.Round(share*1000) / 1000
		m.Served = &rounded
	}
	sites := g.sites()
	m.Sites = quoteSites(sites)
	for _, i := range g.Incidents {
		if len(m.Incidents) < shownSites {
			m.Incidents = append(m.Incidents, inert(i.ID, schemas.MaxID))
		}
	}
	if g.Subject == "" {
		g.Subject = fmt.Sprintf("[weir %s] %s on %s", s.o.Name, kindText(g.Incidents[0].Kind), sitesText(sites, g.Beyond, 1))
	}
	m.Subject = g.Subject
	m.Severity, m.Call = s.urgency(g, m, t, known, share)
	m.Headline = s.headline(g, m, t, known, share, stopped)
	m.Lines = s.lines(g, m, t, sites, now)
	m.Link = s.link(g, now)
	m.Commands = []string{"weir why " + inert(g.worst().ID, schemas.MaxID), "weir top"}
	g.Served, g.Mitigated = m.Served, g.Mitigated && known && share >= illServed || known && share >= wellServed && t.enforced > 0
	g.Bad = 0
	g.Reviewed = g.Reviewed || m.Call == Accept || s.panicked(t) && t.waiting > 0
	return m
}

// urgency says how urgent a message is, and which of three it is for its reader.
func (s *story) urgency(g *group, m *Message, t tally, known bool, share float64) (Severity, Call) {
	ill := known && share < illServed
	if m.Last && g.calledNormal() != "" && ill {
		return Warning, Nothing // over by a person's word, and not because visitors are well
	}
	if m.Last {
		return Info, Nothing
	}
	switch {
	case t.enforced > 0 && (g.Hurt || g.Class != "attack"):
		return Critical, PanicOff
	case g.Lapsed && t.enforced == 0 && !s.panicked(t):
		return Critical, Accept
	case t.waiting > 0 && !s.panicked(t): // accepted, they would not be enforced either
		if ill || !known {
			return Critical, Accept
		}
		return Warning, Accept
	case g.Class == "attack" && (ill || !known && !g.Mitigated):
		return Critical, Nothing
	case g.Class == "attack" && m.Kind != Mitigated:
		return Warning, Nothing
	case g.Class == "breakage" && known && share < 0.5, g.Class == "visitors" && ill:
		return Critical, Nothing
	case g.Class == "breakage":
		return Warning, Nothing
	}
	return Info, Nothing
}

// headline is the first line: who is served, what weir has done, what is to do.
func (s *story) headline(g *group, m *Message, t tally, known bool, share, stopped float64) string {
	served := "It is not known what share of visitors is being served"
	if known {
		served = percent(share) + " of visitors are being served"
	}
	var done string
	decisions := plural(t.enforced, "decision")
	why := g.undecided()
	switch {
	case m.Last && g.calledNormal() != "":
		done = fmt.Sprintf("%s called it normal traffic, so that weir's %s ended", span(inert(g.calledNormal(), 60)), plural(g.anyMeasure(), "decision"))
	case m.Last && g.anyMeasure() == 0:
		done = "weir took no measures"
	case m.Last:
		done = fmt.Sprintf("weir took %s", plural(g.anyMeasure(), "decision"))
	case why.bare(stopped) && t.waiting+t.idle == 0 && !s.panicked(t):
		done = fmt.Sprintf("weir decides nothing that stops the attack on %s: %s", why.Where, span(why.Why))
	case t.enforced > 0 && stopped >= 0.005:
		done = fmt.Sprintf("weir enforces %s and stops %s of the requests", decisions, percent(stopped))
	case t.enforced > 0:
		done = fmt.Sprintf("weir enforces %s", decisions)
	case t.idle > 0, s.panicked(t) && t.waiting > 0:
		done = fmt.Sprintf("weir has taken %s and enforces nothing (%s)", plural(t.idle+t.waiting, "decision"), s.idle())
	case s.panicked(t):
		done = fmt.Sprintf("weir enforces nothing (%s)", s.idle())
	case t.waiting > 0:
		done = fmt.Sprintf("weir has taken %s and enforces none (mode %s)", plural(t.waiting, "decision"), s.modeText(g))
	case g.Class == "attack":
		done = "weir has found nothing yet that stops the attack and spares visitors"
	case g.Class == "breakage":
		done = "weir does nothing: the application fails, with no more visitors than normal"
	default:
		done = "weir does nothing: these are visitors"
	}
	switch told := why.Why != "" && t.enforced > 0 && !m.Last && !s.panicked(t); {
	case told && why.Left > 0:
		done += fmt.Sprintf(", and leaves %s of the attack's on %s: %s", percent(why.Left), why.Where, span(why.Why))
	case told && (!why.bare(stopped) || t.waiting+t.idle > 0):
		done += fmt.Sprintf(", and decides nothing that stops the attack on %s: %s", why.Where, span(why.Why))
	}
	var call string
	switch {
	case m.Call == Accept && g.Lapsed:
		call = "the first enforcement on this site has lapsed. Look at the evidence, and if it is right: " + span("weir incidents confirm "+inert(g.worst().ID, schemas.MaxID))
	case m.Call == Accept:
		call = "look at the evidence and accept: " + span("weir decisions accept "+inert(g.worst().ID, schemas.MaxID))
	case m.Call == PanicOff && g.Hurt:
		call = "a decision was lifted because it matched known visitors. If visitors are refused: " + span("weir panic off")
	case m.Call == PanicOff:
		call = "it is no attack any more. If visitors are refused: " + span("weir panic off")
	case m.Last && m.Severity == Warning:
		call = "look whether the site is well: weir does nothing more"
	case m.Last:
		call = "nothing to do"
	case s.panicked(t) && g.Class == "attack":
		call = "to enforce again: " + span("weir panic on")
	case why.Why != "" && m.Severity == Critical:
		call = "weir goes on looking; see for yourself: " + span("weir why "+inert(g.worst().ID, schemas.MaxID))
	case g.Class == "breakage":
		call = "nothing to do in weir: look at the application"
	case m.Severity == Critical && t.enforced > 0:
		call = "nothing to do in weir, it goes on looking for what stops the rest"
	case m.Severity == Critical && g.Class == "visitors":
		call = "nothing to do in weir: the application has too little capacity for them"
	default:
		call = "nothing to do"
	}
	if m.Last {
		return fmt.Sprintf("Over: %s; %s; %s.", lowerFirst(served), done, call)
	}
	return fmt.Sprintf("%s; %s; %s.", served, done, call)
}

// littleStopped is the share of the requests below which what is in force stops nothing to speak of.
const littleStopped = 0.2

// undecided is why nothing is decided in an open attack of the group, else why no more is; empty where that is not so.
func (g *group) undecided() (why unsaid) {
	for _, i := range g.Incidents {
		if i.Closed.IsZero() && i.Kind.Attack() && i.Why != "" && (why.Why == "" || why.Left > 0 && i.Left == 0) {
			why = i.unsaid
		}
	}
	return why
}

// bare reports whether nothing is decided that stops anything to speak of.
func (u *unsaid) bare(stopped float64) bool {
	return u.Why != "" && u.Left == 0 && stopped < littleStopped
}

// calledNormal is the person who called the last of the group's incidents normal traffic, ""
// where that ended by itself.
func (g *group) calledNormal() string {
	last := g.Incidents[0]
	for _, i := range g.Incidents {
		if i.Closed.After(last.Closed) {
			last = i
		}
	}
	return last.ClosedBy
}

// panicked reports whether a person has lifted everything.
func (s *story) panicked(t tally) bool { return t.off && s.o.Idle == "" }

// idle says why nothing is enforced.
func (s *story) idle() string {
	if s.o.Idle == "" {
		return "panic off"
	}
	return s.o.Idle
}

func lowerFirst(text string) string { return strings.ToLower(text[:1]) + text[1:] }

func (s *story) modeText(g *group) string {
	for _, i := range g.Incidents {
		for _, site := range i.Sites {
			if mode := s.mode(site); mode != "enforce" {
				return mode
			}
		}
	}
	return "observe"
}

func (g *group) anyMeasure() int {
	n := 0
	for _, i := range g.Incidents {
		n += len(i.Measures)
	}
	return n
}

// worst is the incident to look at first: the one with the most requests above normal.
func (g *group) worst() *incident {
	w := g.Incidents[0]
	for _, i := range g.Incidents {
		if i.Rate.Value-i.Rate.Normal > w.Rate.Value-w.Rate.Normal {
			w = i
		}
	}
	return w
}

// sites are those of all incidents, each once, in the order in which they came.
func (g *group) sites() []string {
	var all []string
	seen := make(map[string]bool)
	for _, i := range g.Incidents {
		for _, site := range i.Sites {
			if !seen[site] {
				seen[site] = true
				all = append(all, site)
			}
		}
	}
	return all
}

func quoteSites(sites []string) []string {
	var quoted []string
	for _, site := range sites[:min(len(sites), shownSites)] {
		quoted = append(quoted, quote(site, siteWidth))
	}
	return quoted
}

// sitesText names some sites and says how many more there are.
func sitesText(sites []string, beyond, shown int) string {
	if len(sites) == 0 {
		return "an unknown site"
	}
	text := strings.Join(quoteSites(sites[:min(len(sites), shown)]), ", ")
	if more := len(sites) - min(len(sites), shown) + beyond; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// lines are what follows the headline.
func (s *story) lines(g *group, m *Message, t tally, sites []string, now time.Time) []string {
	w := g.worst()
	what := fmt.Sprintf("%s on %s since %s", titleKind(g), sitesText(sites, g.Beyond, shownSites), instant(g.Began))
	if m.Last {
		end := g.end()
		what = fmt.Sprintf("%s on %s from %s to %s, %s", titleKind(g), sitesText(sites, g.Beyond, shownSites), instant(g.Began), instant(end), duration(end.Sub(g.Began)))
	} else if now.Sub(g.Began) >= time.Minute {
		what += ", for " + duration(now.Sub(g.Began))
	}
	lines := []string{what + "."}
	if n := len(g.Incidents) + g.Beyond; n > 1 {
		lines = append(lines, fmt.Sprintf("Incidents: %d, of them %d open.", n, g.open()))
	}
	if w.Rate.Name != "" {
		lines = append(lines, fmt.Sprintf("At its worst %s requests/s (normal %s) from %s clients in 10 s (normal %s)%s.",
			figure(w.Rate.Value), figure(w.Rate.Normal), figure(w.Clients.Value), figure(w.Clients.Normal), onWorst(g, w)))
	}
	if g.Worst != nil {
		lines = append(lines, fmt.Sprintf("Fewest visitors served in any 10 s since then: %s.", percent(*g.Worst)))
	}
	if t.enforced > 0 {
		var parts []string
		for _, a := range []schemas.Action{schemas.Block, schemas.Challenge, schemas.Throttle} {
			if n := t.byAction[a]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, a))
			}
		}
		lines = append(lines, fmt.Sprintf("In force: %s; they touch at most %s of a site's visitors.", strings.Join(parts, ", "), fine(t.collateral)))
	}
	if per := s.perSite(g, now); per != "" {
		lines = append(lines, per)
	}
	return lines
}

func onWorst(g *group, w *incident) string {
	if len(g.Incidents) == 1 || len(w.Sites) == 0 {
		return ""
	}
	return ", on " + quote(w.Sites[0], siteWidth)
}

// perSite is who is served where, of several sites.
func (s *story) perSite(g *group, now time.Time) string {
	sites := g.sites()
	if len(sites) < 2 {
		return ""
	}
	var parts []string
	for _, site := range sites[:min(len(sites), shownSites)] {
		r, ok := s.readings[site]
		text := "not known"
		if ok && r.known && now.Sub(r.at) <= readingAge {
			text = percent(r.served)
		}
		parts = append(parts, quote(site, siteWidth)+" "+text)
	}
	return "Visitors served: " + strings.Join(parts, ", ") + "."
}

func (g *group) end() (end time.Time) {
	for _, i := range g.Incidents {
		if i.Closed.After(end) {
			end = i.Closed
		}
	}
	return end
}

// titleKind is the kind of the group's incidents, the worst where they differ.
func titleKind(g *group) string {
	for _, i := range g.Incidents {
		if i.Kind.Attack() {
			return upperFirst(kindText(i.Kind))
		}
	}
	return upperFirst(kindText(g.Incidents[0].Kind))
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// kindText keeps what is in an event's kind from being anything but a word.
func kindText(k schemas.Kind) string {
	switch k {
	case schemas.Flood, schemas.Scrape, schemas.Scan, schemas.Silent, schemas.Crowd, schemas.Breakage, schemas.Release, schemas.Crawler:
		return string(k)
	}
	return "incident"
}

// link is the Grafana page with the time and the first site of the group.
func (s *story) link(g *group, now time.Time) string {
	if s.o.Grafana == "" {
		return ""
	}
	u, err := url.Parse(s.o.Grafana)
	if err != nil {
		return ""
	}
	query := u.Query()
	query.Set("from", strconv.FormatInt(g.Began.Add(-15*time.Minute).UnixMilli(), 10))
	query.Set("to", "now")
	if end := g.end(); g.open() == 0 && !end.IsZero() {
		query.Set("to", strconv.FormatInt(end.Add(15*time.Minute).UnixMilli(), 10))
	}
	if w := g.worst(); len(w.Sites) > 0 {
		query.Set("var-site", inert(w.Sites[0], siteWidth))
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// percent never rounds up: 99.96 % is not everybody.
func percent(share float64) string {
	p := 100 * share
	switch {
	case share >= 1:
		return "100 %"
	case p >= 99:
		return strconv.FormatFloat(math.Floor(p*10)/10, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(math.Floor(p), 'f', 0, 64) + " %"
}

// fine is a small share with two decimals, rounded up: it is a bound.
func fine(share float64) string {
	return strconv.FormatFloat(math.Ceil(share*1e4)/100, 'f', 2, 64) + " %"
}

func figure(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// duration is a length of time in words.
func duration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return plural(int(d.Seconds()), "second")
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}
