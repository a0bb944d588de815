package clickhouse

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// asked is the estate as a program without SQL sees it: its requests, one by one.
type asked struct {
	all                []schemas.Request
	opened, end        time.Time
	begin, not         int64 // ms: during begins, before ends
	known, attackers   map[string]bool
	during, before, by []schemas.Request // by: the attackers' during
}

const attackedSite = "www.example.org"

func stoppedBy(r schemas.Request) bool {
	return slices.Contains([]string{"block", "challenge", "throttle"}, string(r.Action))
}

func answered(r schemas.Request) bool { return r.Status >= 200 && r.Status < 400 }

func client4(r schemas.Request) string { return r.Client.String() }

func askedOf(e *estate) *asked {
	a := &asked{all: e.all, opened: e.day.Add(5*time.Hour + 8*time.Minute), known: map[string]bool{}, attackers: map[string]bool{}}
	a.end = a.opened.Add(15 * time.Minute)
	a.begin, a.not = a.opened.Add(-time.Minute).UnixMilli(), a.opened.Add(-2*time.Minute).UnixMilli()
	for _, r := range a.all {
		switch {
		case string(r.Site) != attackedSite:
		case r.Time >= a.begin && r.Time <= a.end.UnixMilli():
			a.during = append(a.during, r)
		case r.Time >= a.opened.Add(-24*time.Hour).UnixMilli() && r.Time <= a.not:
			if a.before = append(a.before, r); answered(r) && !stoppedBy(r) {
				a.known[client4(r)] = true
			}
		}
	}
	for _, r := range a.during {
		if stoppedBy(r) && !a.known[client4(r)] {
			a.attackers[client4(r)] = true
		}
	}
	a.by = only(a.during, func(r schemas.Request) bool { return a.attackers[client4(r)] })
	return a
}

func only(all []schemas.Request, is func(schemas.Request) bool) (some []schemas.Request) {
	for _, r := range all {
		if is(r) {
			some = append(some, r)
		}
	}
	return some
}

func by(all []schemas.Request, key func(schemas.Request) string) map[string][]schemas.Request {
	groups := map[string][]schemas.Request{}
	for _, r := range all {
		groups[key(r)] = append(groups[key(r)], r)
	}
	return groups
}

func distinct(all []schemas.Request, key func(schemas.Request) string) int { return len(by(all, key)) }

func at(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000") }

func minuteOf(r schemas.Request) string {
	return time.UnixMilli(r.Time).UTC().Truncate(time.Minute).Format("2006-01-02 15:04:05")
}

func hourOf(r schemas.Request) string {
	return time.UnixMilli(r.Time).UTC().Truncate(time.Hour).Format("2006-01-02 15:04:05")
}

func figure(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

func rounded(x float64, digits int) string {
	scale := math.Pow10(digits)
	return figure(math.Round(x*scale) / scale)
}

func first(all []schemas.Request) schemas.Request {
	return slices.MinFunc(all, func(a, b schemas.Request) int { return cmp.Compare(a.Time, b.Time) })
}

func last(all []schemas.Request) schemas.Request {
	return slices.MaxFunc(all, func(a, b schemas.Request) int { return cmp.Compare(a.Time, b.Time) })
}

// rows are one line a group, in their order and then by key.
func rows(groups map[string][]schemas.Request, most int, order func(a, b string) int, line func(key string, group []schemas.Request) string) (lines []string) {
	keys := slices.Collect(maps.Keys(groups))
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(order(a, b), strings.Compare(a, b)) })
	for _, key := range keys {
		if text := line(key, groups[key]); text != "" && len(lines) < most {
			lines = append(lines, text)
		}
	}
	return lines
}

// many orders by how many requests a group has, most first.
func many(groups map[string][]schemas.Request) func(a, b string) int {
	return func(a, b string) int { return len(groups[b]) - len(groups[a]) }
}

func byKey(string, string) int { return 0 }

// split is rows of what a value's requests are before and during, most during first.
func (a *asked) split(key func(schemas.Request) string, line func(key string, before, during int) string) []string {
	before, groups := by(a.before, key), by(a.during, key)
	order := many(groups)
	for k := range before {
		groups[k] = append([]schemas.Request{}, groups[k]...)
	}
	return rows(groups, 30, order, func(k string, g []schemas.Request) string { return line(k, len(before[k]), len(g)) })
}

func (a *asked) percent(key func(schemas.Request) string) []string {
	return a.split(key, func(k string, before, during int) string {
		return fmt.Sprintf("%s\t%s\t%s\t%d", k, rounded(100*float64(before)/float64(len(a.before)), 2), rounded(100*float64(during)/float64(len(a.during)), 2), during)
	})
}

func (a *asked) traits() []string {
	type trait struct {
		text string
		bits float64
	}
	var found []trait
	constant := func(text string) func(schemas.Request) string { return func(schemas.Request) string { return text } }
	for name, value := range map[string]func(schemas.Request) string{
		"user_agent": func(r schemas.Request) string { return string(r.UserAgent) }, "accept_language": func(r schemas.Request) string { return string(r.AcceptLanguage) },
		"referer": func(r schemas.Request) string { return map[bool]string{true: "", false: "some"}[len(r.Referer) == 0] },
		"method":  constant("GET"), "protocol": constant("HTTP/1.1"), "tls": constant(""), "accept_encoding": constant(""), "cookie": constant(""),
	} {
		before, all := by(a.before, value), [2]float64{float64(len(a.before)), float64(len(a.during))}
		for v, group := range by(a.during, value) {
			b, d := float64(len(before[v])), float64(len(group))
			bits := math.Round(10*(math.Log2((d+0.5)/(all[1]+1))-math.Log2((b+0.5)/(all[0]+1)))) / 10
			if d >= 0.05*all[1] {
				found = append(found, trait{fmt.Sprintf("%s\t%s\t%s\t%s\t%s", name, v, rounded(100*b/all[0], 2), rounded(100*d/all[1], 2), figure(bits+0)), bits})
			}
		}
	}
	slices.SortFunc(found, func(x, y trait) int { return cmp.Or(cmp.Compare(y.bits, x.bits), strings.Compare(x.text, y.text)) })
	var lines []string
	for _, t := range found {
		lines = append(lines, t.text)
	}
	return lines
}

func (a *asked) neverHit() []string {
	seen := by(a.before, func(r schemas.Request) string { return string(r.Path) })
	groups := by(only(a.by, func(r schemas.Request) bool { return seen[string(r.Path)] == nil }), func(r schemas.Request) string { return string(r.Path) })
	return rows(groups, 30, many(groups), func(path string, g []schemas.Request) string {
		statuses := slices.Sorted(maps.Keys(by(g, func(r schemas.Request) string { return strconv.Itoa(int(r.Status)) })))
		return fmt.Sprintf("%s\t%d\t%d\t[%s]", path, len(g), distinct(g, client4), strings.Join(statuses, ","))
	})
}

func (a *asked) overlap() string {
	old := a.opened.Add(-10 * 24 * time.Hour)
	there := only(a.all, func(r schemas.Request) bool {
		return string(r.Site) == attackedSite && r.Time >= old.Add(-time.Minute).UnixMilli() && r.Time <= old.Add(10*time.Minute).UnixMilli()
	})
	clients, networks := by(there, client4), by(there, network24)
	again := 0
	for c := range a.attackers {
		if clients[c] != nil {
			again++
		}
	}
	mine, both := by(a.by, network24), 0
	for n := range mine {
		if networks[n] != nil {
			both++
		}
	}
	return fmt.Sprintf("i1\t%d\t%d\t%d\t%d", len(a.attackers), again, len(mine), both)
}

func network24(r schemas.Request) string {
	p, _ := r.Client.Prefix(24)
	return p.String()
}

// answers are what recipes say, worked out from the requests one by one.
func (a *asked) answers() map[string][]string {
	attackers := by(a.by, client4)
	around := only(a.all, func(r schemas.Request) bool {
		return string(r.Site) == attackedSite && r.Time >= a.opened.Add(-10*time.Minute).UnixMilli() && r.Time < a.end.Add(11*time.Minute).UnixMilli()
	})
	count := func(g []schemas.Request, is func(schemas.Request) bool) int { return len(only(g, is)) }
	status := func(s uint16) func(schemas.Request) bool {
		return func(r schemas.Request) bool { return r.Status == s }
	}
	stringOf := func(b func(schemas.Request) []byte) func(schemas.Request) string {
		return func(r schemas.Request) string { return string(b(r)) }
	}
	agent, language := stringOf(func(r schemas.Request) []byte { return r.UserAgent }), stringOf(func(r schemas.Request) []byte { return r.AcceptLanguage })
	path, site := stringOf(func(r schemas.Request) []byte { return r.Path }), stringOf(func(r schemas.Request) []byte { return r.Site })
	back := by(only(a.all, func(r schemas.Request) bool {
		return a.attackers[client4(r)] && r.Time > a.end.UnixMilli() && r.Time <= a.end.Add(7*24*time.Hour).UnixMilli()
	}), client4)
	elsewhere := by(only(a.all, func(r schemas.Request) bool {
		return a.attackers[client4(r)] && site(r) != attackedSite && r.Time >= a.begin && r.Time <= a.end.UnixMilli()
	}), site)
	missed := by(only(a.by, func(r schemas.Request) bool { return !stoppedBy(r) }), func(r schemas.Request) string { return strconv.Itoa(int(r.Status)) })
	people := by(only(a.during, func(r schemas.Request) bool { return a.known[client4(r)] }), minuteOf)
	wronged := by(only(a.during, func(r schemas.Request) bool { return a.known[client4(r)] }), client4)
	perClient := map[string]int{}
	for _, g := range attackers {
		perClient[strconv.Itoa(min(len(g), 20))]++
	}
	var limits []string
	for n, clients := range perClient {
		limits = append(limits, fmt.Sprintf("%s\t%d", n, clients))
	}
	slices.Sort(limits)
	networks := by(a.by, network24)
	cost := by(a.during, func(r schemas.Request) string {
		return map[bool]string{true: "attackers", false: "others"}[a.attackers[client4(r)]]
	})
	effect := by(only(a.all, func(r schemas.Request) bool { return string(r.Decision) == "i2-1" }), func(r schemas.Request) string { return hourOf(r) + "\t" + string(r.Action) })
	byFirst := func(x, y string) int { return cmp.Compare(first(attackers[x]).Time, first(attackers[y]).Time) }
	firsts := slices.SortedFunc(slices.Values(a.by), func(x, y schemas.Request) int {
		return cmp.Or(cmp.Compare(x.Time, y.Time), strings.Compare(client4(x), client4(y)), strings.Compare(path(x), path(y)))
	})
	var firstRequests []string
	for _, r := range firsts[:50] {
		firstRequests = append(firstRequests, fmt.Sprintf("%s\t%s\tGET\t%s\t%d\t%s", at(r.Time), client4(r), path(r), r.Status, agent(r)))
	}
	together := by(a.during, func(r schemas.Request) string { return language(r) + "\t\tHTTP/1.1\t" })
	return map[string][]string{
		"abuse": rows(attackers, 1e6, many(attackers), func(c string, g []schemas.Request) string {
			return fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%d\t%s", c, network24(g[0]), at(first(g).Time), at(last(g).Time), len(g), distinct(g, path), agent(g[0]))
		}),
		"agents": a.percent(agent), "languages": a.percent(language), "traits": a.traits(), "never-hit": a.neverHit(), "overlap": {a.overlap()},
		"came-back": rows(back, 100, many(back), func(c string, g []schemas.Request) string {
			return fmt.Sprintf("%s\t%s\t%s\t%d\t%d\t['%s']", c, at(first(g).Time), at(last(g).Time), len(g), count(g, stoppedBy), site(g[0]))
		}),
		"cost": rows(cost, 2, byKey, func(who string, g []schemas.Request) string {
			bytes, backend := int64(0), int64(0)
			for _, r := range g {
				bytes, backend = bytes+r.Bytes, backend+r.UpstreamDuration
			}
			return fmt.Sprintf("%s\t%d\t%d\t%s", who, len(g), bytes, rounded(float64(backend)/1e6, 1))
		}),
		"elsewhere": rows(elsewhere, 100, many(elsewhere), func(s string, g []schemas.Request) string {
			return fmt.Sprintf("%s\t%d\t%d", s, len(g), distinct(g, client4))
		}),
		"first-requests": firstRequests,
		"missed": rows(missed, 100, many(missed), func(s string, g []schemas.Request) string {
			return fmt.Sprintf("%s\t%d\t%d\t%s\t%s", s, len(g), distinct(g, client4), at(first(g).Time), at(last(g).Time))
		}),
		"networks": rows(networks, 30, func(x, y string) int { return distinct(networks[y], client4) - distinct(networks[x], client4) }, func(n string, g []schemas.Request) string {
			return fmt.Sprintf("%s\t%d\t%d", n, distinct(g, client4), len(g))
		}),
		"pages": a.split(func(r schemas.Request) string { return site(r) + "\t" + path(r) }, func(k string, before, during int) string { return fmt.Sprintf("%s\t%d\t%d", k, before, during) }),
		"people": rows(people, 1e6, byKey, func(m string, g []schemas.Request) string {
			share := func(is func(schemas.Request) bool) string {
				return rounded(100*float64(count(g, is))/float64(len(g)), 1)
			}
			return fmt.Sprintf("%s\t%d\t%d\t%s\t%s\t%s", m, distinct(g, client4), len(g), share(answered), share(stoppedBy), share(func(r schemas.Request) bool { return r.Status >= 499 && !stoppedBy(r) }))
		}),
		"per-client": limits,
		"queries":    {fmt.Sprintf("page\t%d\t%d", count(a.before, func(r schemas.Request) bool { return len(r.Query) > 0 }), count(a.during, func(r schemas.Request) bool { return len(r.Query) > 0 }))},
		"referers": a.split(func(r schemas.Request) string {
			return strings.Trim(strings.TrimPrefix(string(r.Referer), "https://"), "/")
		}, func(k string, before, during int) string {
			return fmt.Sprintf("%s\t%d\t%d", k, before, during)
		}),
		"started": rows(attackers, 20, byFirst, func(c string, g []schemas.Request) string {
			return fmt.Sprintf("%s\t%s\t%s\t%d\t%s", c, at(first(g).Time), path(first(g)), len(g), agent(g[0]))
		}),
		"statuses": rows(by(a.during, func(r schemas.Request) string { return fmt.Sprintf("%s\t%d", minuteOf(r), r.Status) }), 1e6, byKey, func(k string, g []schemas.Request) string {
			return fmt.Sprintf("%s\t%d", k, len(g))
		}),
		"stopped": rows(effect, 100, byKey, func(k string, g []schemas.Request) string { return fmt.Sprintf("%s\t%d", k, len(g)) }),
		"timeline": rows(by(around, minuteOf), 1e6, byKey, func(m string, g []schemas.Request) string {
			return fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%d\t%d", m, len(g), distinct(g, client4), count(g, status(404)), count(g, func(r schemas.Request) bool { return r.Status >= 500 }), count(g, status(499)), count(g, stoppedBy))
		}),
		"together": rows(together, 20, func(x, y string) int { return distinct(together[y], client4) - distinct(together[x], client4) }, func(k string, g []schemas.Request) string {
			return fmt.Sprintf("%s\t%d\t%d", k, len(g), distinct(g, client4))
		}),
		"wronged": rows(wronged, 100, byKey, func(c string, g []schemas.Request) string {
			if count(g, stoppedBy) == 0 {
				return ""
			}
			return fmt.Sprintf("%s\t%d\t%d\t%s\t%s\t['i2-1']", c, count(g, stoppedBy), count(g, func(r schemas.Request) bool { return answered(r) && !stoppedBy(r) }), at(first(g).Time), agent(g[0]))
		}),
	}
}

// TestCookbookSaysWhatCountingSays works out what most recipes should answer from the
// estate's requests, one by one and without SQL, and compares every line.
func TestCookbookSaysWhatCountingSays(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	answers := askedOf(story(t, db)).answers()
	if len(answers) < 20 {
		t.Errorf("%d recipes are counted, want at least 20", len(answers))
	}
	for name, want := range answers {
		sql, err := db.Recipe(t.Context(), name, Subject{Incident: "i2"})
		if err != nil {
			t.Errorf("@%s: %v", name, err)
			continue
		}
		if got := ask(t, db, sql); got != strings.Join(want, "\n") || got == "" {
			t.Errorf("@%s says\n%.900s\ncounting says\n%.900s", name, got, strings.Join(want, "\n"))
		}
	}
}
