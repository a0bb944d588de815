package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	migrations "github.com/weir-project/weir/schemas/clickhouse"
	"github.com/weir-project/weir/sinks/clickhouse"
	page "github.com/weir-project/weir/sinks/report"
)

// Run writes the report of an incident from the store.
func (c *incidentCommand) Run(ctx context.Context, s screen, p *program) error {
	open := &sqlCommand{dataFlag: c.dataFlag, ClickHouse: c.ClickHouse}
	db, end, err := open.open(ctx, p)
	if err != nil {
		return err
	}
	return errors.Join(writeReport(ctx, db, c.Incident, c.Report), end())
}

// writeReport writes the page of an incident.
func writeReport(ctx context.Context, db *clickhouse.DB, incident, path string) error {
	r, err := reportOf(ctx, db, incident)
	if err != nil {
		return err
	}
	// A file that weir makes is its user's alone, which this holds: addresses of people.
	if err := writeFile(path, func(w io.Writer) error { return page.Write(w, r) }); err != nil {
		return fmt.Errorf("write report %s: %w", path, err)
	}
	return nil
}

// reportRows bounds a table of a report; reportNames the bars of a chart.
const (
	reportRows  = 25
	reportNames = 10
)

// reportOf asks the cookbook.
func reportOf(ctx context.Context, db *clickhouse.DB, id string) (page.Report, error) {
	incident, err := db.Case(ctx, id)
	if err != nil {
		return page.Report{}, err
	}
	r := page.Report{Incident: incident.Incident, Kind: incident.Kind, Cause: incident.Cause, Sites: incident.Sites, Opened: incident.Opened,
		Closed: incident.Closed, Written: time.Now(), Weir: version}
	q := &reporting{ctx: ctx, db: db, id: incident.Incident}
	q.charts(&r)
	q.facts(&r, incident)
	abouts := q.abouts()
	for _, name := range []string{"opening", "decisions", "together", "never-hit", "first-requests", "networks", "wronged", "cost"} {
		columns, rows := q.table(name)
		t := page.Table{Title: abouts[name], Query: name, Columns: columns, Rows: rows}
		if len(rows) > reportRows {
			t.Rows, t.More = rows[:reportRows], true
		}
		r.Tables = append(r.Tables, t)
	}
	return r, q.err
}

// reporting asks one question after the other until one fails.
type reporting struct {
	ctx context.Context
	db  *clickhouse.DB
	id  string
	err error
}

func (q *reporting) abouts() map[string]string {
	all, err := migrations.Cookbook()
	q.err = errors.Join(q.err, err)
	abouts := make(map[string]string)
	for _, r := range all {
		title, _, _ := strings.Cut(r.About, "? ")
		abouts[r.Name] = strings.TrimSuffix(title, "?") + "?"
	}
	return abouts
}

// table is a recipe's answer.
func (q *reporting) table(name string) (columns []string, rows [][]string) {
	if q.err != nil {
		return nil, nil
	}
	sql, err := q.db.Recipe(q.ctx, name, clickhouse.Subject{Incident: q.id})
	if err != nil {
		q.err = err
		return nil, nil
	}
	var body bytes.Buffer
	if q.err = q.db.Query(q.ctx, sql, clickhouse.QueryOptions{Format: "JSONCompactStringsEachRowWithNames"}, &body); q.err != nil {
		return nil, nil
	}
	for decoder := json.NewDecoder(&body); decoder.More(); {
		var row []string
		if err := decoder.Decode(&row); err != nil {
			q.err = fmt.Errorf("@%s: %w", name, err)
			return nil, nil
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	return rows[0], rows[1:]
}

func (q *reporting) rows(sql string, take func(*json.Decoder) error) {
	if q.err == nil {
		q.err = q.db.Rows(q.ctx, sql, take)
	}
}

// recipe is a recipe's answer, row by row.
func (q *reporting) recipe(name string, take func(*json.Decoder) error) {
	if q.err != nil {
		return
	}
	sql, err := q.db.Recipe(q.ctx, name, clickhouse.Subject{Incident: q.id})
	if err != nil {
		q.err = err
		return
	}
	q.rows(sql, take)
}

func (q *reporting) charts(r *page.Report) {
	at := func(text string) time.Time {
		t, err := time.Parse(time.DateTime, text)
		q.err = errors.Join(q.err, err)
		return t
	}
	q.recipe("timeline", func(d *json.Decoder) error {
		var m struct {
			Minute                               string
			Requests, Errors, Abandoned, Stopped float64
		}
		err := d.Decode(&m)
		failed := min(m.Errors+m.Abandoned, m.Requests-m.Stopped)
		r.Minutes = append(r.Minutes, page.Minute{Time: at(m.Minute), Failed: failed, Stopped: m.Stopped, Served: m.Requests - m.Stopped - failed})
		return err
	})
	q.recipe("agents", func(d *json.Decoder) error {
		var a struct {
			Agent  string  `json:"user_agent"`
			Before float64 `json:"percent_before"`
			During float64 `json:"percent_during"`
		}
		err := d.Decode(&a)
		if len(r.Shares) < reportNames {
			r.Shares = append(r.Shares, page.Share{Name: a.Agent, Before: a.Before, During: a.During})
		}
		return err
	})
	q.recipe("traits", func(d *json.Decoder) error {
		var t struct {
			Trait, Value string
			Bits         float64
		}
		err := d.Decode(&t)
		r.Traits = append(r.Traits, page.Trait{Name: t.Trait, Value: t.Value, Bits: t.Bits})
		return err
	})
	q.recipe("abuse", func(d *json.Decoder) error {
		var a struct{ Client string }
		err := d.Decode(&a)
		r.Attackers++
		if client, parseErr := netip.ParseAddr(a.Client); parseErr == nil && client.Is4() {
			r.Networks[client.As4()[0]]++
		}
		return err
	})
	q.recipe("stopped", func(d *json.Decoder) error {
		var h struct {
			Hour, Action string
			Requests     float64
		}
		err := d.Decode(&h)
		if h.Action == "allow" {
			return err
		}
		t := at(h.Hour)
		if n := len(r.Hours); n > 0 && r.Hours[n-1].Time.Equal(t) {
			r.Hours[n-1].Stopped += h.Requests
		} else {
			r.Hours = append(r.Hours, page.Hour{Time: t, Stopped: h.Requests})
		}
		return err
	})
}

func (q *reporting) facts(r *page.Report, incident clickhouse.Case) {
	var f struct{ Requests, Stopped, Clients, Peak float64 }
	q.rows("SELECT sum(t.requests) AS Requests, sum(t.throttled + t.challenged + t.blocked) AS Stopped, max(t.requests) / 60 AS Peak, "+
		"(SELECT uniqExact(client) FROM requests WHERE "+incident.Expressions()["during"]+") AS Clients FROM traffic_1m AS t WHERE site IN ("+
		incident.Expressions()["sites"]+") AND time >= toStartOfMinute("+incident.Expressions()["begin"]+") AND time <= "+incident.Expressions()["end"],
		func(d *json.Decoder) error { return d.Decode(&f) })
	r.Facts = []page.Fact{
		{Value: count(uint64(f.Requests)), Name: "requests"}, {Value: count(uint64(f.Stopped)), Name: "of them stopped"},
		{Value: count(uint64(f.Clients)), Name: "clients"}, {Value: count(r.Attackers), Name: "attackers"},
		{Value: count(uint64(f.Peak)), Name: "requests a second, in the busiest minute"}, {Value: short(incident.End.Sub(incident.Opened)), Name: "long"},
	}
}
