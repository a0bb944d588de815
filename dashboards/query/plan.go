package query

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Shape is how an answer's rows are to be read.
type Shape int

// The shapes.
const (
	Table Shape = iota // as they are
	Wide               // time, and a column a series
	Long               // time, columns of text that name the series, and numbers
)

// Plan is what a query asks the store.
type Plan struct {
	SQL   string
	Shape Shape
	// Rows is the most that is wanted.
	Rows int
	// Note is what a person has to know of the answer; "" is nothing.
	Note string
}

// Moment is what a query is asked for at: a panel's time, and how fine.
type Moment struct {
	Span
	// Step is the time between two points of a series.
	Step time.Duration
	// Now is when it is asked.
	Now time.Time
	// Case is the incident that the query names; nil where it names none.
	Case *Case
}

// Case is an incident as other queries need it.
type Case struct {
	Incident string
	Sites    []string
	Opened   time.Time
	End      time.Time // when it closed, or when it was last told of
}

// CaseSQL looks an incident up: incident, sites, opened, end; no row where there is none.
func CaseSQL(id string) string {
	where := "incident = " + Text(id)
	if id == "latest" {
		where = "incident = (SELECT argMax(incident, opened) FROM incidents WHERE opened IS NOT NULL)"
	}
	return "SELECT i.incident AS incident, argMax(i.sites, i.time) AS sites, toDateTime64(coalesce(min(i.opened), min(i.time)), 3, 'UTC') AS opened, " +
		"toDateTime64(coalesce(max(i.closed), max(i.time) + INTERVAL 10 SECOND), 3, 'UTC') AS end FROM incidents AS i WHERE " + where + " GROUP BY i.incident"
}

// steps are those that a series may have.
var steps = []time.Duration{
	10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// maxPoints bounds a series, whatever a panel asks for.
const maxPoints = 2000

// StepOf is the least of the steps that keeps a span within so many points.
func StepOf(s Span, points int64) time.Duration {
	if points < 10 || points > maxPoints {
		points = min(max(points, 10), maxPoints)
	}
	for _, step := range steps {
		if s.To.Sub(s.From)/step <= time.Duration(points) {
			return step
		}
	}
	return steps[len(steps)-1]
}

// rollup is the coarsest table whose rows fit into a step.
func rollup(step time.Duration) (table string) {
	switch {
	case step >= time.Hour && step%time.Hour == 0:
		return "rollup_1h"
	case step >= time.Minute:
		return "rollup_1m"
	}
	return "rollup_10s"
}

func (m *Moment) seconds() string { return strconv.FormatInt(int64(m.Step/time.Second), 10) }

func (m *Moment) bucket(column string) string {
	return "toStartOfInterval(toDateTime(" + column + ", 'UTC'), INTERVAL " + m.seconds() + " SECOND, 'UTC')"
}

// whole is the span without the buckets that are not yet full.
func (m *Moment) whole() Span {
	s := m.Span
	s.From = s.From.Truncate(m.Step)
	if last := m.Now.Add(-settled).Truncate(m.Step); s.To.After(last) && last.After(s.From) {
		s.To = last
	}
	return s
}

// settled is after how long a bucket is taken to be stored.
const settled = 3 * time.Second

// Plan is the SQL of a query; kinds that no SQL answers are an error.
func (q *Query) Plan(m Moment) (Plan, error) {
	switch q.Kind {
	case Sites:
		return q.planSites(m), nil
	case Traffic:
		return q.planTraffic(m), nil
	case Signals:
		return q.planSignals(m), nil
	case Traits:
		return q.planTraits(m), nil
	case Incidents:
		return q.planIncidents(m), nil
	case Decisions:
		return q.planDecisions(m), nil
	case Evidence:
		return q.planEvidence(m), nil
	case Effect:
		return q.planEffect(m), nil
	case Prefixes:
		if q.By == "map" {
			return q.planMap(m), nil
		}
		return q.planPrefixes(m), nil
	case Vitals, Figures:
		return q.planNumbers(m), nil
	case Lag:
		return q.planLag(m), nil
	case Requests:
		return q.planRequests(m)
	case Values:
		return q.planValues(m), nil
	case SQL:
		return q.planSQL(m)
	}
	return Plan{}, wrong("of the kind %s is not answered by the store", q.Kind)
}

// outcomes are the sums of a rollup r, a second: what was stopped may have been counted as
// an error as well, by the answer that it got.
const outcomes = `greatest(sum(r.requests) - sum(r.throttled + r.challenged + r.blocked) - least(sum(r.errors + r.abandoned), sum(r.requests - r.throttled - r.challenged - r.blocked)), 0) / %[1]s AS served,
	least(sum(r.errors + r.abandoned), sum(r.requests - r.throttled - r.challenged - r.blocked)) / %[1]s AS failed,
	sum(r.throttled + r.challenged + r.blocked) / %[1]s AS stopped`

func (q *Query) planTraffic(m Moment) Plan {
	s := m.whole()
	from := fmt.Sprintf("FROM %s AS r WHERE %s", rollup(m.Step), all(in("r.site", q.Sites), seconds(s, "r.time")))
	if q.By == "site" {
		return Plan{Shape: Long, Rows: maxPoints * maxList, SQL: "SELECT " + m.bucket("r.time") + " AS at, r.site AS site, sum(r.requests) / " + m.seconds() + " AS requests_rate " + from +
			" AND r.site IN (SELECT site FROM rollup_1m WHERE " + seconds(s, "time") + " GROUP BY site ORDER BY sum(requests) DESC LIMIT 20) GROUP BY at, site ORDER BY at, site"}
	}
	return Plan{Shape: Wide, Rows: maxPoints * 2, SQL: "SELECT " + m.bucket("r.time") + " AS at, " + fmt.Sprintf(outcomes, m.seconds()) + " " + from +
		" GROUP BY at ORDER BY at WITH FILL STEP INTERVAL " + m.seconds() + " SECOND"}
}

// seconds is a span on a column of whole seconds.
func seconds(s Span, column string) string {
	return fmt.Sprintf("%s >= toDateTime(%d, 'UTC') AND %s < toDateTime(%d, 'UTC')", column, s.From.Unix(), column, s.To.Unix())
}

func (q *Query) planSignals(m Moment) Plan {
	normal := ""
	if q.Normal {
		normal = ", avg(s.normal) AS normal"
	}
	return Plan{Shape: Long, Rows: maxPoints * maxList, SQL: "SELECT " + m.bucket("s.time") + " AS at, s.site AS site, s.name AS name, avg(s.value) AS value" + normal +
		" FROM signals AS s WHERE " + all(in("s.site", q.Sites), in("s.name", q.Signals), "s.window = '10s'", m.on("s.time")) +
		" GROUP BY at, site, name ORDER BY at, site, name"}
}

// fresh is within what the latest signals of a site are looked for.
const fresh = 2 * time.Minute

func (q *Query) planSites(m Moment) Plan {
	latest := Span{m.To.Add(-fresh), m.To.Add(time.Second)}
	of := func(name, column string) string {
		return "argMaxIf(s." + column + ", s.time, s.name = " + Text(name) + ")"
	}
	return Plan{Rows: q.Limit, SQL: "SELECT a.site AS site, i.kind AS kind, if(i.kind = '', NULL, i.since) AS since, a.requests_rate AS requests_rate, a.normal_rate AS normal_rate, " +
		"a.score AS score, a.unserved_share AS unserved_share, a.stopped_share AS stopped_share, a.clients AS clients, i.incident AS incident FROM (SELECT s.site AS site, " +
		of("request_rate", "value") + " AS requests_rate, " + of("request_rate", "normal") + " AS normal_rate, " + of("request_rate", "score") + " AS score, " + of("unserved_share", "value") + " AS unserved_share, " +
		of("stopped_share", "value") + " AS stopped_share, " + of("unique_clients", "value") + " AS clients FROM signals AS s WHERE " +
		all(in("s.site", q.Sites), "s.name IN ('request_rate', 'unserved_share', 'stopped_share', 'unique_clients')", "s.window = '10s'", latest.on("s.time")) + " GROUP BY site) AS a " +
		"LEFT JOIN (SELECT arrayJoin(sites) AS site, argMax(kind, opened) AS kind, argMax(incident, opened) AS incident, argMax(opened, opened) AS since FROM (" +
		incidentsAt(m.To) + ") WHERE closed IS NULL GROUP BY site) AS i ON a.site = i.site ORDER BY i.kind = '', a.requests_rate DESC, a.site LIMIT " + q.limit()}
}

func (q *Query) limit() string { return strconv.Itoa(q.Limit) }

// incidentsAt is the state of each incident as it was known at a time.
func incidentsAt(t time.Time) string {
	return "SELECT i.incident AS incident, argMax(i.kind, i.time) AS kind, argMax(i.sites, i.time) AS sites, toDateTime64(coalesce(min(i.opened), min(i.time)), 3, 'UTC') AS opened, " +
		"max(i.closed) AS closed, argMax(i.cause, i.time) AS cause FROM incidents AS i WHERE i.time <= " + instant(t) + " GROUP BY incident"
}

func (q *Query) planIncidents(m Moment) Plan {
	conditions := []string{"opened < " + instant(m.To), "coalesce(closed, " + instant(m.To) + ") >= " + instant(m.From)}
	if q.State == "open" {
		conditions = []string{"closed IS NULL"}
	}
	if m.Case != nil {
		conditions = []string{"incident = " + Text(m.Case.Incident)}
	}
	if len(q.Sites) > 0 {
		conditions = append(conditions, "hasAny(c.sites, "+list(q.Sites)+")")
	}
	until := "coalesce(closed, " + instant(earlier(m.Now, m.To)) + ")"
	if q.Annotations {
		return Plan{Rows: q.Limit, SQL: "SELECT opened AS time, " + until + " AS timeEnd, concat(kind, ' on ', arrayStringConcat(arraySlice(sites, 1, 5), ', ')) AS title, cause AS text, " +
			"[kind, incident] AS tags, incident AS id FROM (" + incidentsAt(later(m.Now, m.To)) + ") AS c WHERE " + all(conditions...) + " ORDER BY time LIMIT " + q.limit()}
	}
	return Plan{Rows: q.Limit, SQL: "SELECT incident, kind, arrayStringConcat(sites, ', ') AS sites, opened, closed, greatest(dateDiff('second', opened, " + until + "), 0) AS lasts, cause FROM (" +
		incidentsAt(later(m.Now, m.To)) + ") AS c WHERE " + all(conditions...) + " ORDER BY closed IS NOT NULL, opened DESC LIMIT " + q.limit()}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// list is an array of texts.
func list(values []string) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = Text(v)
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// Zoom sets a series about an incident to the incident's own time: a while before it to a
// while after it.
func (m *Moment) Zoom(q *Query) {
	if m.Case == nil || q.Kind != Traffic && q.Kind != Signals && q.Kind != Effect {
		return
	}
	if len(q.Sites) == 0 {
		q.Sites = m.Case.Sites
	}
}
