package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/clickhouse"
	"github.com/weir-project/weir/sinks/notify"
	"github.com/weir-project/weir/sinks/statuspage"
)

type postmortemCommand struct {
	Incident string `arg:"" help:"Its id, as weir incidents shows it."`
	dataFlag
}

// Run drafts from the store, and prints.
func (c *postmortemCommand) Run(ctx context.Context, s screen, p *program) error {
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	db, closeDB, err := openData(ctx, data, false, nil)
	if err != nil {
		return err
	}
	draft, err := caseOf(ctx, db, configuration, data, c.Incident)
	if err = errors.Join(err, closeDB()); err != nil {
		return err
	}
	return notify.Postmortem(s.out, draft)
}

// Bounds on what a post-mortem is drafted from.
const (
	caseBefore  = 2 * time.Minute
	caseAfter   = time.Minute
	casePast    = 24 * time.Hour // in which known clients were answered well
	caseSignals = 50_000
)

// literal is any text as an SQL expression, whatever is in it.
func literal(text string) string { return "unhex('" + hex.EncodeToString([]byte(text)) + "')" }

// caseOf reads everything about an incident from the store, and what the status page of a
// data directory said.
func caseOf(ctx context.Context, db *clickhouse.DB, c config.Config, data, id string) (notify.Case, error) {
	draft := notify.Case{Name: c.Edge.Name, Incident: id, Written: time.Now(), Mode: func(site string) string { return string(c.ModeOf(site)) }}
	incidents, err := queryEvents(ctx, db, incidentColumns+"FROM incidents WHERE incident = "+literal(id)+" ORDER BY time LIMIT 1000")
	if err != nil {
		return draft, err
	}
	if len(incidents) == 0 {
		return draft, fmt.Errorf("postmortem: the store knows no incident %s; weir incidents shows those that there are", printable(id, 80))
	}
	from, to := spanOf(incidents, draft.Written)
	sites := make([]string, 0, len(incidents[0].Sites))
	for _, site := range incidents[0].Sites {
		sites = append(sites, literal(site))
	}
	list := "(" + strings.Join(sites, ", ") + ")"
	if len(sites) == 0 {
		list = "('')"
	}
	decisions, err := queryEvents(ctx, db, decisionColumns+fmt.Sprintf(
		`FROM decisions WHERE incident = %s OR origin != 'weir' AND time BETWEEN %s AND %s AND (empty(decisions.sites) OR hasAny(decisions.sites, [%s]))
		ORDER BY time LIMIT 5000`, literal(id), instantSQL(from.Add(-caseBefore)), instantSQL(to), strings.Join(sites, ", ")))
	if err != nil {
		return draft, err
	}
	draft.Events = append(incidents, decisions...)
	if draft.Signals, err = caseSignalsOf(ctx, db, list, from, to); err != nil {
		return draft, err
	}
	if draft.Figures, err = figuresOf(ctx, db, list, from, to); err != nil {
		return draft, err
	}
	draft.Public, draft.PublicUnknown = toldPublic(c, data, id, incidents[0].Sites, from, to)
	return draft, nil
}

// toldPublic is what the status page of a data directory said of an incident, and of its
// sites while it was open; unknown says why there may be more, "" where there is not.
func toldPublic(c config.Config, data, id string, sites []string, from, to time.Time) (told []notify.Told, unknown string) {
	steps, err := statuspage.Steps(statuspageDir(data), id, sites, from, to)
	if err != nil {
		unknown = err.Error()
	}
	language := ""
	if len(c.Statuspage.Languages) > 0 {
		language = c.Statuspage.Languages[0]
	}
	for _, s := range steps {
		told = append(told, notify.Told{Time: s.Time, By: s.By, Step: string(s.Do), Title: s.Title.In(language, ""), Text: s.Text.In(language, "")})
	}
	return told, unknown
}

// spanOf is from when to when an incident was open.
func spanOf(incidents []schemas.Event, now time.Time) (from, to time.Time) {
	from, to = incidents[0].Opened, now
	if from.IsZero() {
		from = incidents[0].Time
	}
	if last := incidents[len(incidents)-1]; last.Type == schemas.IncidentClosed {
		if to = last.Closed; to.IsZero() {
			to = last.Time
		}
	}
	return from, to
}

func instantSQL(t time.Time) string {
	return fmt.Sprintf("fromUnixTimestamp64Milli(toInt64(%d), 'UTC')", t.UnixMilli())
}

// rowsOf asks for rows of JSON and hands each to take.
func rowsOf(ctx context.Context, db *clickhouse.DB, query string, take func(*json.Decoder) error) error {
	var body bytes.Buffer
	if err := db.Query(ctx, query, clickhouse.QueryOptions{Format: "JSONEachRow", Settings: map[string]any{"output_format_json_quote_64bit_integers": 0}}, &body); err != nil {
		return err
	}
	for decoder := json.NewDecoder(&body); decoder.More(); {
		if err := take(decoder); err != nil {
			return fmt.Errorf("postmortem: %w", err)
		}
	}
	return nil
}

func caseSignalsOf(ctx context.Context, db *clickhouse.DB, sites string, from, to time.Time) (rows []schemas.SignalRow, err error) {
	query := fmt.Sprintf(`SELECT toUnixTimestamp64Milli(time) AS ms, site, name, value, normal FROM signals
		WHERE site IN %s AND window = '10s' AND name IN ('request_rate', 'unique_clients', 'stopped_share', 'unserved_share') AND time BETWEEN %s AND %s
		ORDER BY time LIMIT %d`, sites, instantSQL(from.Add(-caseBefore)), instantSQL(to.Add(caseAfter)), caseSignals)
	err = rowsOf(ctx, db, query, func(d *json.Decoder) error {
		var row struct {
			MS            int64
			Site, Name    string
			Value, Normal float64
		}
		if err := d.Decode(&row); err != nil {
			return err
		}
		rows = append(rows, schemas.SignalRow{Time: time.UnixMilli(row.MS).UTC(), Site: row.Site, Window: "10s",
			Signal: schemas.Signal{Name: row.Name, Value: row.Value, Normal: row.Normal}})
		return nil
	})
	return rows, err
}

// stoppedSQL is true for a request that an edge did not let through.
const stoppedSQL = "action IN ('block', 'challenge', 'throttle')"

// clientsSQL are the clients that a row stands for: itself, and where a collector sampled,
// those that it left out for it. Distinct ones are what uniqExactArray counts.
const clientsSQL = "arrayMap(i -> (client, i), range(toUInt32(weight)))"

func figuresOf(ctx context.Context, db *clickhouse.DB, sites string, from, to time.Time) (*notify.Figures, error) {
	during := fmt.Sprintf("site IN %s AND time BETWEEN %s AND %s", sites, instantSQL(from), instantSQL(to))
	var f notify.Figures
	err := rowsOf(ctx, db, fmt.Sprintf(`SELECT toUInt64(sum(weight)) AS Requests, uniqExactArray(%[3]s) AS Clients, toUInt64(sumIf(weight, %[1]s)) AS Stopped,
		uniqExactArrayIf(%[3]s, %[1]s) AS StoppedClients, toUInt64(sumIf(weight, NOT (%[1]s) AND status >= 500)) AS Errors,
		toUInt64(sumIf(weight, NOT (%[1]s) AND status = 499)) AS Abandoned, toUInt64(sumIf(weight, NOT (%[1]s) AND status IN (404, 410))) AS NotFound
		FROM requests WHERE %[2]s`, stoppedSQL, during, clientsSQL), func(d *json.Decoder) error { return d.Decode(&f) })
	if err != nil {
		return nil, err
	}
	// Who was answered well on the day before, up to a little before the opening: the
	// attack may have begun earlier.
	err = rowsOf(ctx, db, fmt.Sprintf(`SELECT count() AS Known, countIf(stopped > 0) AS Touched, countIf(well > 0) AS Served FROM (
		SELECT client, countIf(%[1]s) AS stopped, countIf(NOT (%[1]s) AND status BETWEEN 200 AND 399) AS well FROM requests
		WHERE %[2]s AND client IN (SELECT client FROM requests WHERE site IN %[3]s AND time BETWEEN %[4]s AND %[5]s AND status BETWEEN 200 AND 399 AND NOT (%[1]s))
		GROUP BY client)`, stoppedSQL, during, sites, instantSQL(from.Add(-casePast)), instantSQL(from.Add(-caseBefore))),
		func(d *json.Decoder) error { return d.Decode(&f) })
	if err != nil {
		return nil, err
	}
	err = rowsOf(ctx, db, fmt.Sprintf(`SELECT decision AS Decision, toUInt64(sum(weight)) AS Requests, uniqExactArray(%s) AS Clients,
		toUnixTimestamp64Milli(min(time)) AS FirstMS, toUnixTimestamp64Milli(max(time)) AS LastMS
		FROM requests WHERE %s AND %s AND decision != '' GROUP BY decision ORDER BY Requests DESC LIMIT 1000`, clientsSQL, during, stoppedSQL), func(d *json.Decoder) error {
		var row struct {
			Decision          string
			Requests, Clients uint64
			FirstMS, LastMS   int64
		}
		if err := d.Decode(&row); err != nil {
			return err
		}
		f.Decisions = append(f.Decisions, notify.DecisionFigures{Decision: row.Decision, Requests: row.Requests, Clients: row.Clients,
			First: time.UnixMilli(row.FirstMS), Last: time.UnixMilli(row.LastMS)})
		return nil
	})
	return &f, err
}

// drafting writes a post-mortem of every incident that closes.
//
//	board ─▶ ClickHouse ─▶ DATA/postmortems/INCIDENT.md
type drafting struct {
	board  *board
	open   func(context.Context) (*clickhouse.DB, error)
	config config.Config
	log    *slog.Logger

	tried map[string]time.Time // since when
}

const (
	draftPace  = 5 * time.Second
	draftAfter = 10 * time.Second // the last requests are stored by then
	draftWait  = 10 * time.Minute // for ClickHouse; then without what it knows
	draftPast  = 48 * time.Hour   // incidents closed longer ago are left alone
)

var fileID = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

func (r *drafting) run(ctx context.Context) error {
	r.tried = make(map[string]time.Time)
	every(ctx, draftPace, func(ctx context.Context) {
		for _, e := range r.board.allIncidents() {
			age := time.Since(e.Closed)
			if e.Type != schemas.IncidentClosed || !fileID.MatchString(e.Incident) || age < draftAfter || age > draftPast {
				continue
			}
			path := filepath.Join(r.config.Data, "postmortems", e.Incident+".md")
			if _, err := os.Stat(path); err == nil {
				continue
			}
			if err := r.draft(ctx, e.Incident, path); err != nil && ctx.Err() == nil && r.tried[e.Incident].IsZero() {
				r.log.Warn("a post-mortem waits for ClickHouse", "incident", e.Incident, "error", err)
				r.tried[e.Incident] = time.Now()
			}
		}
	})
	return nil
}

func (r *drafting) draft(ctx context.Context, id, path string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	draft, err := r.stored(ctx, id)
	if since := r.tried[id]; err != nil && !since.IsZero() && time.Since(since) > draftWait {
		draft, err = r.known(id), nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	if err := writeFile(path, func(w io.Writer) error { return notify.Postmortem(w, draft) }); err != nil {
		return err
	}
	delete(r.tried, id)
	r.log.Info("a post-mortem was drafted", "incident", id, "file", path)
	return nil
}

// stored is the case as ClickHouse has it, once it has the end.
func (r *drafting) stored(ctx context.Context, id string) (notify.Case, error) {
	db, err := r.open(ctx)
	if err != nil {
		return notify.Case{}, err
	}
	draft, err := caseOf(ctx, db, r.config, r.config.Data, id)
	if err = errors.Join(err, db.Close()); err != nil {
		return draft, err
	}
	for _, e := range draft.Events {
		if e.Type == schemas.IncidentClosed {
			return draft, nil
		}
	}
	return draft, errors.New("its end is not stored yet")
}

// known is the case without ClickHouse: the last state of everything.
func (r *drafting) known(id string) notify.Case {
	draft := notify.Case{Name: r.config.Edge.Name, Incident: id, Written: time.Now(), Mode: func(site string) string { return string(r.config.ModeOf(site)) }}
	for _, e := range r.board.everything() {
		if e.Incident == id {
			draft.Events = append(draft.Events, e)
		}
	}
	if len(draft.Events) > 0 {
		from, to := spanOf(draft.Events, draft.Written)
		draft.Public, draft.PublicUnknown = toldPublic(r.config, r.config.Data, id, draft.Events[0].Sites, from, to)
	}
	return draft
}
