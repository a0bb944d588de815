package query

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// How much of the requests is looked at, so that an answer comes at once while an attack
// goes on: the end of the time shown, and half an hour before it; of an incident its beginning.
const (
	duringMost = 10 * time.Minute
	beforeSpan = 30 * time.Minute
	beforeGap  = 2 * time.Minute // an attack has begun before it is noticed
)

// spans are what is compared, and on which sites.
func (q *Query) spans(m Moment) (during, before Span, sites []string) {
	sites = q.Sites
	if c := m.Case; c != nil {
		if len(sites) == 0 {
			sites = c.Sites
		}
		during = Span{c.Opened.Add(-time.Minute), earlier(c.End, c.Opened.Add(duringMost))}
		return during, Span{c.Opened.Add(-beforeGap - beforeSpan), c.Opened.Add(-beforeGap)}, sites
	}
	during = Span{later(m.From, m.To.Add(-duringMost)), m.To}
	return during, Span{m.From.Add(-beforeSpan), m.From}, sites
}

// compared are the traits that the store has a column for.
const compared = `[('user_agent', toString(ua)), ('accept_language', toString(al)), ('accept_encoding', toString(ae)), ('tls', toString(tl)), ('protocol', toString(pr)), ('method', toString(me)), ('cookie', toString(co)), ('referer', if(nr, 'none', 'some'))]`

func (q *Query) planTraits(m Moment) Plan {
	during, before, sites := q.spans(m)
	isDuring := during.on("r.time")
	where := all(in("r.site", sites), "((("+isDuring+") OR ("+before.on("r.time")+")))", "r.time >= "+instant(before.From), "r.time < "+instant(later(during.To, before.To)))
	counts := "SELECT r.user_agent AS ua, r.accept_language AS al, r.accept_encoding AS ae, r.tls AS tl, r.protocol AS pr, r.method AS me, r.cookie AS co, r.referer = '' AS nr, " +
		"sumIf(r.weight, " + isDuring + ") AS d, sum(r.weight) - d AS b FROM requests AS r WHERE " + where + " GROUP BY ua, al, ae, tl, pr, me, co, nr"
	// The totals come along as the trait '' and are taken from it by a window.
	return Plan{Rows: q.Limit, SQL: "SELECT trait, value, share_before, share_during, round(log2((during + 0.5) / (alld + 1)) - log2((before + 0.5) / (allb + 1)), 1) + 0 AS bits FROM (" +
		"SELECT trait, value, before, during, maxIf(during, trait = '') OVER () AS alld, maxIf(before, trait = '') OVER () AS allb, before / greatest(allb, 1) AS share_before, during / greatest(alld, 1) AS share_during FROM (" +
		"SELECT pair.1 AS trait, pair.2 AS value, sum(d) AS during, sum(b) AS before FROM (SELECT arrayJoin(arrayPushBack(" + compared + ", ('', ''))) AS pair, d, b FROM (" + counts + ")) GROUP BY pair)) " +
		"WHERE trait != '' AND during >= 0.02 * alld AND during > 0 AND bits > 0 ORDER BY bits DESC, share_during DESC, trait, value LIMIT " + q.limit()}
}

func (q *Query) planPrefixes(m Moment) Plan {
	during, _, sites := q.spans(m)
	bits, _ := strconv.Atoi(q.By)
	long := map[string]int{"8": 24, "16": 32, "24": 48}[q.By] // of IPv6
	return Plan{Rows: q.Limit, SQL: fmt.Sprintf("SELECT if(four, IPv4NumToString(toIPv4(first)) || '/%d', IPv6NumToString(first) || '/%d') AS network, requests, clients, requests / greatest(clients, 1) AS per_client, stopped_share, not_found FROM ("+
		"SELECT startsWith(IPv6NumToString(n), '::ffff:') AS four, tupleElement(IPv6CIDRToRange(n, toUInt8(if(four, %d, %d))), 1) AS first, sum(w) AS requests, uniqMerge(u) AS clients, sum(s) / requests AS stopped_share, sum(f) / requests AS not_found FROM ("+
		"SELECT r.network AS n, sum(r.weight) AS w, uniqState(r.client) AS u, sumIf(r.weight, r.action IN ('block', 'challenge', 'throttle')) AS s, sumIf(r.weight, r.status IN (404, 410)) AS f FROM requests AS r WHERE %s GROUP BY n"+
		") GROUP BY four, first) ORDER BY requests DESC, network LIMIT %s", bits, long, 96+bits, long, all(in("r.site", sites), conditions(q.Where), during.on("r.time")), q.limit())}
}

func (q *Query) planDecisions(m Moment) Plan {
	in := []string{"d.time <= " + instant(later(m.Now, m.To))}
	if q.State != "all" {
		in = append(in, "d.expires > "+instant(m.To))
	} else if m.Case == nil {
		in = append(in, "d.expires >= "+instant(m.From))
	}
	if id := q.Where["decision"]; id != "" {
		in = append(in, "d.decision = "+Text(id))
	}
	if m.Case != nil {
		in = append(in, "d.incident = "+Text(m.Case.Incident))
	}
	if len(q.Sites) > 0 {
		in = append(in, "(empty(d.sites) OR hasAny(d.sites, "+list(q.Sites)+"))")
	}
	latest := "SELECT d.time AS time, d.type AS type, d.decision AS decision, d.incident AS incident, d.sites AS sites, d.action AS action, d.scope AS scope, d.value AS value, d.expires AS expires, " +
		"d.collateral AS collateral, d.collateral_per_hour AS per_hour, d.reason AS reason, d.origin AS origin FROM decisions AS d WHERE " + all(in...) +
		" ORDER BY decision, time DESC, type = 'decision.removed' DESC LIMIT 1 BY decision"
	where := "1"
	if q.State != "all" {
		where = "type != 'decision.removed'"
	}
	if q.State == "review" { // weir's own, which no person has taken and no edge acts on
		where += " AND origin = 'weir' AND h.acted = 0 AND decision NOT IN (SELECT substring(reason, 11) FROM decisions WHERE startsWith(reason, 'accepted: ') AND expires > " + instant(m.To) + ")"
	}
	effect := Span{m.From, m.To}
	if m.Case != nil {
		effect = Span{m.Case.Opened, m.Case.End.Add(time.Hour)}
	}
	return Plan{Rows: q.Limit, SQL: "SELECT decision, action, scope, value, arrayStringConcat(sites, ', ') AS sites, if(type = 'decision.removed', 0, greatest(dateDiff('second', " + instant(m.To) + ", expires), 0)) AS left, " +
		"h.matched AS matched, h.probes AS probes, collateral, per_hour AS people_hour, origin, reason, incident FROM (" + latest + ") AS l LEFT JOIN (SELECT decision, sum(requests) AS matched, sumIf(requests, action = 'allow') AS probes, " +
		"sumIf(requests, action != 'allow') AS acted FROM decision_hits WHERE " + seconds(effect, "time") + " GROUP BY decision) AS h ON l.decision = h.decision WHERE " + where + " ORDER BY matched DESC, decision LIMIT " + q.limit()}
}

func (q *Query) planEffect(m Moment) Plan {
	s := m.whole()
	in := []string{in("h.site", q.Sites), seconds(s, "h.time"), "h.decision != ''"}
	if m.Case != nil {
		in = append(in, "startsWith(h.decision, "+Text(m.Case.Incident)+")")
	}
	return Plan{Shape: Long, Rows: maxPoints * 4, SQL: "SELECT " + m.bucket("h.time") + " AS at, if(h.action = 'allow', 'probe', toString(h.action)) AS action, sum(h.requests) / " + m.seconds() +
		" AS requests_rate FROM decision_hits AS h WHERE " + all(in...) + " GROUP BY at, action ORDER BY at, action"}
}

// planNumbers is vitals of edges and figures of processes over time.
func (q *Query) planNumbers(m Moment) Plan {
	columns := make([]string, len(q.Columns))
	for i, c := range q.Columns {
		columns[i] = strings.ReplaceAll(numbers[q.Kind][c].sql, "%[1]s", m.seconds()) + " AS " + c
	}
	from, whose, where := "vitals AS v", "v.edge AS edge", all(in("v.edge", q.Edges), m.on("v.time"))
	group, time := "edge", "v.time"
	if q.Kind == Figures {
		from, whose, group, time = "figures AS f", "f.process AS process, f.part AS part", "process, part", "f.time"
		where = all(in("f.process", q.Edges), in("f.name", q.Columns), seconds(m.whole(), "f.time"))
	}
	return Plan{Shape: Long, Rows: maxPoints * maxList, SQL: "SELECT " + m.bucket(time) + " AS at, " + whose + ", " + strings.Join(columns, ", ") +
		" FROM " + from + " WHERE " + where + " GROUP BY at, " + group + " ORDER BY at, " + group}
}

// planEvidence is why decisions were taken, of an incident or of the time shown: each trait
// with its bits, requests that the measure matches, and the normal ones that come closest.
func (q *Query) planEvidence(m Moment) Plan {
	in := []string{"d.evidence != ''"}
	if m.Case != nil {
		in = append(in, "d.incident = "+Text(m.Case.Incident))
	} else {
		in = append(in, m.on("d.time"))
	}
	if id := q.Where["decision"]; id != "" {
		in = append(in, "d.decision = "+Text(id))
	}
	if len(q.Sites) > 0 {
		in = append(in, "(empty(d.sites) OR hasAny(d.sites, "+list(q.Sites)+"))")
	}
	// A decision is told of many times; its evidence the first time.
	of := "SELECT d.decision AS decision, argMin(d.evidence, d.time) AS evidence FROM decisions AS d WHERE " + all(in...) + " GROUP BY decision"
	texts := func(key, what string) string {
		return "arrayMap(x -> ('" + what + "', '', x, nan, nan, nan), JSONExtract(evidence, '" + key + "', 'Array(String)'))"
	}
	traits := "arrayMap(t -> ('trait', JSONExtractString(t, 'trait'), JSONExtractString(t, 'value'), JSONExtractFloat(t, 'bits'), JSONExtractFloat(t, 'attack'), JSONExtractFloat(t, 'normal')), JSONExtractArrayRaw(evidence, 'traits'))"
	lines := "arrayConcat(" + traits + ", " + texts("samples", "sample") + ", " + texts("nearest", "nearest") + ")"
	return Plan{Rows: q.Limit, SQL: "SELECT decision, lines[place].1 AS what, lines[place].2 AS trait, lines[place].3 AS text, lines[place].4 AS bits, lines[place].5 AS attack_share, lines[place].6 AS normal_share" +
		" FROM (SELECT decision, lines, arrayJoin(arrayEnumerate(lines)) AS place FROM (SELECT decision, " + lines + " AS lines FROM (" + of + ")))" +
		" ORDER BY decision, indexOf(['trait', 'sample', 'nearest'], what), bits DESC, place LIMIT " + q.limit()}
}

// planMap is a map of the addresses of IPv4: sixteen rows of sixteen /8, as many requests
// as came from each, and their names beside them for links; what came by IPv6 is a notice's.
func (q *Query) planMap(m Moment) Plan {
	during, _, sites := q.spans(m)
	cells, names := make([]string, 16), make([]string, 16)
	for i := range cells {
		cells[i] = fmt.Sprintf("sumIf(c.requests, c.octet = %d + g.number * 16) AS b%d", i, i)
		names[i] = fmt.Sprintf("toString(%d + g.number * 16) || '.0.0.0/8' AS n%d", i, i)
	}
	return Plan{Rows: 16, SQL: "SELECT toString(g.number * 16) AS from, " + strings.Join(cells, ", ") + ", " + strings.Join(names, ", ") +
		" FROM numbers(16) AS g CROSS JOIN (SELECT intDiv(toUInt32(toIPv4(r.network)), 16777216) AS octet, sum(r.weight) AS requests FROM requests AS r WHERE " +
		all(in("r.site", sites), conditions(q.Where), during.on("r.time"), "r.network >= toIPv6('::ffff:0:0')", "r.network <= toIPv6('::ffff:ffff:ffff')") +
		" GROUP BY octet UNION ALL SELECT 256, 0) AS c GROUP BY g.number ORDER BY g.number"}
}

// planLag is how late what was stored is. Only what was stored within an hour of its time
// counts: the rest is an old log that was replayed.
func (q *Query) planLag(m Moment) Plan {
	return Plan{Shape: Wide, Rows: maxPoints, SQL: "SELECT " + m.bucket("r.time") + " AS at, maxIf(late, late < 3600) AS storing_lag, sum(n) / " + m.seconds() +
		" AS stored FROM (SELECT time, greatest(dateDiff('second', time + INTERVAL 10 SECOND, max(stored_at)), 0) AS late, sum(requests) AS n FROM rollup_10s WHERE " +
		all(in("site", q.Sites), seconds(m.whole(), "time")) + " GROUP BY time) AS r GROUP BY at ORDER BY at"}
}

// topColumns are those of requests whose values can be counted.
var topColumns = []string{"client", "network", "user_agent", "path", "status", "method", "site", "referer", "accept_language", "tls", "action", "decision"}

// filterColumns are those that Where may name.
var filterColumns = append([]string{"query", "edge", "protocol", "accept_encoding", "cookie", "matches"}, topColumns...)

// condition is one of Where's.
func condition(column, value string) (string, error) {
	if !slices.Contains(filterColumns, column) {
		return "", wrong("asks where %q is something; there are %s", cut(column), join(filterColumns))
	}
	switch column {
	case "matches":
		text, _, err := matching(value)
		return text, err
	case "client", "network":
		prefix, err := prefixOf(value)
		if err != nil {
			return "", err
		}
		return inPrefix(column, prefix), nil
	case "status":
		if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 16); err == nil {
			return "r.status = " + strconv.FormatUint(n, 10), nil
		}
		return "", wrong("asks for the status %q, which is no number", cut(value))
	case "path", "user_agent", "referer", "query":
		if before, found := strings.CutSuffix(value, "*"); found {
			return "startsWith(r." + column + ", " + Text(before) + ")", nil
		}
	}
	return "toString(r." + column + ") = " + Text(value), nil
}

// matching is a condition on the requests that a decision's value matches: an address, a
// prefix, a signature, or a site. left are the traits that are no column of the store.
func matching(value string) (text string, left []string, err error) {
	if prefix, err := prefixOf(value); err == nil {
		return inPrefix("client", prefix), nil, nil
	}
	if !strings.Contains(value, "=") {
		return "r.site = " + Text(value), nil, nil
	}
	if schemas.IsScore(value) {
		return matchingScore(value)
	}
	signature, err := schemas.ParseSignature(value)
	if err != nil {
		return "", nil, wrong("%s", cut(err.Error()))
	}
	var texts []string
	for _, t := range signature {
		switch t.Trait {
		case schemas.TraitUserAgent, schemas.TraitAcceptLanguage, schemas.TraitAcceptEncoding, schemas.TraitTLS, schemas.TraitProtocol, schemas.TraitMethod, schemas.TraitCookie:
			texts = append(texts, "toString(r."+t.Trait.String()+") = "+Text(t.Value))
		case schemas.TraitReferer:
			not := map[bool]string{true: "", false: "NOT "}[t.Value == "none"]
			texts = append(texts, "r.referer "+not+"IN ('', '-')")
			if t.Value != "none" { // the site's own or another's is told by its beginning
				own := "match(r.referer, concat('^https?://', regexpQuoteMeta(toString(r.site)), '([:/?#]|$)'))"
				texts = append(texts, map[bool]string{true: own, false: "NOT " + own}[t.Value == "same"])
			}
		default:
			left = append(left, t.Trait.String())
		}
	}
	return all(texts...), left, nil
}

// matchingScore is a condition on the requests whose traits, as far as they are columns, come to what the score
// wants, with as much as the others may say at most.
func matchingScore(value string) (text string, left []string, err error) {
	if strings.HasSuffix(value, "…") {
		return "", nil, wrong("asks for a score that is longer than a table's cell: choose what it matched by the id of its decision; weir why of it has a query for what it matches")
	}
	score, err := schemas.ParseScore(value)
	if err != nil {
		return "", nil, wrong("%s", cut(err.Error()))
	}
	least, terms := score.Least, []string{"0"}
	for _, t := range score.Traits {
		most := t.Other
		var values, points []string
		for _, v := range t.Values {
			most = max(most, v.Points)
			values, points = append(values, Text(v.Value)), append(points, strconv.Itoa(v.Points))
		}
		switch t.Trait {
		case schemas.TraitUserAgent, schemas.TraitAcceptLanguage, schemas.TraitAcceptEncoding, schemas.TraitTLS, schemas.TraitProtocol, schemas.TraitMethod, schemas.TraitCookie:
			if len(values) == 0 {
				terms = append(terms, strconv.Itoa(t.Other))
				continue
			}
			terms = append(terms, fmt.Sprintf("transform(toString(r.%s), [%s], [%s], %d)", t.Trait, strings.Join(values, ", "), strings.Join(points, ", "), t.Other))
		default:
			least -= most
			left = append(left, t.Trait.String())
		}
	}
	return fmt.Sprintf("(%s) >= %d", strings.Join(terms, " + "), least), left, nil
}

// note says what of a filter the store cannot tell.
func (q *Query) note() string {
	if _, left, err := matching(q.Where["matches"]); err == nil && len(left) > 0 {
		return "The store has no column of " + strings.Join(left, ", ") + ": requests with other values of it are shown as well."
	}
	return ""
}

// inPrefix compares with the first and the last address, so that the index helps.
func inPrefix(column string, prefix netip.Prefix) string {
	first := prefix.Addr().As16()
	last := first
	bits := prefix.Bits()
	if prefix.Addr().Is4() {
		bits += 96
	}
	for i := bits; i < 128; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	six := func(a [16]byte) string { return "toIPv6('" + netip.AddrFrom16(a).StringExpanded() + "')" }
	network := first
	from := 6 // bytes of a network: a /48
	if prefix.Addr().Unmap().Is4() {
		from = 15 // a /24
	}
	clear(network[from:])
	narrow := "r.network >= " + six(network) + " AND r.network <= " + six(last)
	if column == "network" {
		return narrow
	}
	return narrow + " AND r.client >= " + six(first) + " AND r.client <= " + six(last)
}

// conditions are those of Where, which were checked.
func conditions(where map[string]string) string {
	var texts []string
	for _, column := range sortedKeys(where) {
		if text, err := condition(column, where[column]); err == nil {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, " AND ")
}

// address is a column of addresses as a person reads it.
func address(column string) string {
	return "replaceRegexpOne(IPv6NumToString(" + column + "), '^::ffff:', '')"
}

func (q *Query) planRequests(m Moment) (Plan, error) {
	span, sites := m.Span, q.Sites
	if c := m.Case; c != nil {
		span = Span{c.Opened.Add(-time.Minute), c.End}
		if len(sites) == 0 {
			sites = c.Sites
		}
	}
	where := all(in("r.site", sites), conditions(q.Where), span.on("r.time"))
	if q.By == "" {
		return Plan{Rows: q.Limit, Note: q.note(), SQL: "SELECT r.time AS time, r.site AS site, " + address("r.client") + " AS client, r.method AS method, r.path AS path, r.query AS query, r.status AS status, r.user_agent AS user_agent, " +
			"r.referer AS referer, r.duration / 1e6 AS duration, r.bytes AS bytes, r.action AS action, r.decision AS decision, r.edge AS edge FROM requests AS r WHERE " + where + " ORDER BY r.time DESC LIMIT " + q.limit()}, nil
	}
	var value string
	switch q.By {
	case "client":
		value = address("any(r.client)")
	case "network":
		value = "if(startsWith(IPv6NumToString(any(r.network)), '::ffff:'), " + address("any(r.network)") + " || '/24', IPv6NumToString(any(r.network)) || '/48')"
	default:
		value = "toString(any(r." + q.By + "))"
	}
	return Plan{Rows: q.Limit, Note: q.note(), SQL: "SELECT " + value + " AS " + q.By + "_, sum(r.weight) AS requests, uniqCombined64(14)(r.client) AS clients, sumIf(r.weight, r.status IN (404, 410)) / requests AS not_found, " +
		"sumIf(r.weight, r.action IN ('block', 'challenge', 'throttle')) / requests AS stopped_share, sum(r.bytes * r.weight) AS bytes FROM requests AS r WHERE " + where + " GROUP BY r." + q.By + " ORDER BY requests DESC LIMIT " + q.limit()}, nil
}

func (q *Query) planValues(m Moment) Plan {
	week := Span{m.Now.Add(-7 * 24 * time.Hour), m.Now.Add(time.Hour)}
	if m.From.Before(week.From) {
		week.From = m.From
	}
	p := Plan{Rows: maxLimit}
	switch q.By {
	case "signals":
		p.SQL = "SELECT DISTINCT name AS value FROM signals WHERE " + week.on("time") + " ORDER BY value LIMIT 1000"
	case "incidents":
		p.SQL = "SELECT incident AS value FROM incidents GROUP BY incident ORDER BY min(time) DESC LIMIT 500"
	case "edges":
		p.SQL = "SELECT DISTINCT edge AS value FROM vitals WHERE " + week.on("time") + " ORDER BY value LIMIT 1000"
	case "decisions":
		p.SQL = "SELECT decision AS value FROM decisions WHERE expires > " + instant(m.From) + " GROUP BY decision ORDER BY max(time) DESC LIMIT 500"
	default:
		p.SQL = "SELECT site AS value FROM rollup_1h WHERE " + seconds(week, "time") + " GROUP BY site ORDER BY sum(requests) DESC LIMIT 1000"
	}
	return p
}

var macro = regexp.MustCompile(`\$__(\w+)(?:\(\s*([A-Za-z_][A-Za-z0-9_.]{0,80})\s*\))?`)

// planSQL fills in the macros: $__timeFilter(column), $__timeInterval(column), $__from, $__to,
// $__interval_s and $__sites(column).
func (q *Query) planSQL(m Moment) (Plan, error) {
	var failed error
	text := macro.ReplaceAllStringFunc(q.SQL, func(found string) string {
		parts := macro.FindStringSubmatch(found)
		name, column := parts[1], parts[2]
		needs := slices.Contains([]string{"timeFilter", "timeInterval", "sites"}, name)
		if needs && column == "" {
			failed = wrong("has $__%s without a column: write $__%s(time)", name, name)
			return found
		}
		switch name {
		case "timeFilter":
			return "(" + m.on(column) + ")"
		case "timeInterval":
			return m.bucket(column)
		case "from":
			return instant(m.From)
		case "to":
			return instant(m.To)
		case "interval_s":
			return m.seconds()
		case "sites":
			return "(" + all(in(column, q.Sites)) + ")"
		}
		failed = wrong("has the macro %s; there are $__timeFilter(column), $__timeInterval(column), $__sites(column), $__from, $__to, $__interval_s", cut(found))
		return found
	})
	return Plan{SQL: strings.TrimRight(strings.TrimSpace(text), "; \n\t"), Rows: q.Limit}, failed
}
