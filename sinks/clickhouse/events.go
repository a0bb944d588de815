package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/weir-project/weir/schemas"
)

// RecordEvents stores what happened to incidents and decisions, in their tables. A
// token that is not empty makes a repeated call with the same events harmless, such
// as "<stream>/<sequence>". One attempt: the caller tries again.
func (db *DB) RecordEvents(ctx context.Context, token string, events []schemas.Event) error {
	events = newFilter(db.privacy).events(events)
	var incidents, decisions []*schemas.Event
	for i := range events {
		if events[i].Decision != nil {
			decisions = append(decisions, &events[i])
		} else {
			incidents = append(incidents, &events[i])
		}
	}
	if err := record(ctx, db, "incidents", incidentColumns, token, incidents, incidentRow); err != nil {
		return err
	}
	return record(ctx, db, "decisions", decisionColumns, token, decisions, decisionRow)
}

// RecordSignals stores signals; token as for RecordEvents.
func (db *DB) RecordSignals(ctx context.Context, token string, signals []schemas.SignalRow) error {
	return record(ctx, db, "signals", signalColumns, token, signals, signalRow)
}

const (
	incidentColumns = "time, type, incident, kind, sites, opened, closed, cause, signals"
	decisionColumns = "time, type, decision, incident, sites, action, scope, value, expires, " +
		"collateral, collateral_per_hour, collateral_clients, reason, origin, evidence"
	signalColumns = "time, site, window, name, `group`, value, normal, score"
)

// record inserts few rows, one by one into the driver's columns.
func record[T any](ctx context.Context, db *DB, table, columns, token string, items []T, row func(T) ([]any, error)) error {
	if len(items) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	settings := driver.Settings{"async_insert": 0}
	if token != "" {
		settings["insert_deduplication_token"], settings["insert_deduplicate"] = token, 1
	}
	fail := func(err error) error { return fmt.Errorf("%s: store %s: %s", db.where, table, oneLine(err)) }
	batch, err := db.conn.PrepareBatch(driver.Context(ctx, driver.WithSettings(settings)),
		"INSERT INTO "+table+" ("+columns+")")
	if err != nil {
		return fail(err)
	}
	defer batch.Close()
	for _, item := range items {
		values, err := row(item)
		if err != nil {
			return fail(err)
		}
		if err := batch.Append(values...); err != nil {
			return fail(err)
		}
	}
	if err := batch.Send(); err != nil {
		return fail(err)
	}
	return nil
}

func incidentRow(e *schemas.Event) ([]any, error) {
	signals, err := json.Marshal(e.Signals)
	if err != nil {
		return nil, err
	}
	if len(e.Signals) == 0 {
		signals = []byte("[]")
	}
	return []any{clamp(e.Time), string(e.Type), e.Incident, string(e.Kind), list(e.Sites),
		optional(e.Opened), optional(e.Closed), e.Told(), string(signals)}, nil
}

func decisionRow(e *schemas.Event) ([]any, error) {
	d := e.Decision
	evidence := ""
	if d.Evidence != nil {
		text, err := json.Marshal(d.Evidence)
		if err != nil {
			return nil, err
		}
		evidence = string(text)
	}
	return []any{clamp(e.Time), string(e.Type), d.ID, e.Incident, list(e.Sites), string(d.Action), string(d.Scope),
		d.Value, clamp(d.Expires), d.Collateral, d.CollateralPerHour, uint64(max(d.CollateralClients, 0)),
		d.Reason, d.Origin, evidence}, nil
}

func signalRow(s schemas.SignalRow) ([]any, error) {
	return []any{clamp(s.Time), s.Site, s.Window, s.Name, s.Group, s.Value, s.Normal, s.Score}, nil
}

func list(sites []string) []string {
	if sites == nil {
		return []string{}
	}
	return sites
}

// clamp brings a time into the range that the store can hold.
func clamp(t time.Time) time.Time {
	return time.UnixMilli(min(max(t.UnixMilli(), minTime), maxTime)).UTC()
}

// optional is nil for the zero time.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = clamp(t)
	return &t
}
