package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// storedEvents reads the latest events from the store of a data directory, the
// newest first.
func storedEvents(ctx context.Context, data string) ([]schemas.Event, error) {
	db, closeDB, err := openData(ctx, data, false, nil)
	if err != nil {
		return nil, err
	}
	events, err := latestEvents(ctx, db)
	return events, errors.Join(err, closeDB())
}

// storedRow is an event as the tables have it, times as unix milliseconds.
type storedRow struct {
	schemas.Event
	TimeMS       int64  `json:"time_ms,string"`
	OpenedMS     int64  `json:"opened_ms,string"`
	ClosedMS     int64  `json:"closed_ms,string"`
	ExpiresMS    int64  `json:"expires_ms,string"`
	Incident     string `json:"incident_id"`
	ID           string `json:"decision_id"`
	SignalsText  string `json:"signals_text"`
	EvidenceText string `json:"evidence_text"`
}

// The columns of events, as storedRow reads them.
const incidentColumns = `
SELECT toString(toUnixTimestamp64Milli(time)) AS time_ms, type, sites, incident AS incident_id, kind, cause,
       toString(if(opened IS NULL, 0, toUnixTimestamp64Milli(assumeNotNull(opened)))) AS opened_ms,
       toString(if(closed IS NULL, 0, toUnixTimestamp64Milli(assumeNotNull(closed)))) AS closed_ms,
       signals AS signals_text, '0' AS expires_ms
`

const decisionColumns = `
SELECT toString(toUnixTimestamp64Milli(time)) AS time_ms, type, sites, incident AS incident_id, decision AS decision_id,
       action, scope, value, toString(toUnixTimestamp64Milli(expires)) AS expires_ms, collateral, collateral_per_hour,
       toInt64(collateral_clients) AS collateral_clients, reason, origin, evidence AS evidence_text, '0' AS opened_ms, '0' AS closed_ms
`

// latestEvents are the newest event of each incident, which tells of its worst moment as that of a
// running weir does, and of each decision.
func latestEvents(ctx context.Context, db *clickhouse.DB) ([]schemas.Event, error) {
	const known = "incidents_latest ORDER BY time DESC LIMIT 10000"
	events, err := queryEvents(ctx, db, incidentColumns+"FROM "+known, decisionColumns+"FROM decisions_latest ORDER BY time DESC LIMIT 1000000")
	if err != nil {
		return nil, err
	}
	before, err := queryEvents(ctx, db, incidentColumns+"FROM incidents WHERE incident IN (SELECT incident FROM "+known+") ORDER BY time LIMIT 100000")
	if err != nil {
		return nil, err
	}
	at := make(map[string]*schemas.Event, len(before))
	for i := range events {
		if events[i].Decision == nil {
			at[events[i].Incident] = &events[i]
		}
	}
	for i := range before {
		if e := at[before[i].Incident]; e != nil {
			keepPeak(e, &before[i])
		}
	}
	return events, nil
}

// queryEvents reads events in the order of the queries.
func queryEvents(ctx context.Context, db *clickhouse.DB, queries ...string) ([]schemas.Event, error) {
	var events []schemas.Event
	for _, query := range queries {
		var body bytes.Buffer
		options := clickhouse.QueryOptions{Format: "JSONEachRow", Settings: map[string]any{"output_format_json_quote_64bit_integers": 0}}
		if err := db.Query(ctx, query, options, &body); err != nil {
			return nil, err
		}
		for decoder := json.NewDecoder(&body); decoder.More(); {
			var row storedRow
			if err := decoder.Decode(&row); err != nil {
				return nil, fmt.Errorf("events in the store: %w", err)
			}
			e, err := row.event()
			if err != nil {
				return nil, err
			}
			events = append(events, e)
		}
	}
	return events, nil
}

// event is the row as the event that was stored.
func (r *storedRow) event() (schemas.Event, error) {
	e := r.Event
	instant := func(ms int64) time.Time {
		if ms == 0 {
			return time.Time{}
		}
		return time.UnixMilli(ms).UTC()
	}
	e.Time, e.Opened, e.Closed, e.Incident = instant(r.TimeMS), instant(r.OpenedMS), instant(r.ClosedMS), r.Incident
	if r.SignalsText != "" {
		if err := json.Unmarshal([]byte(r.SignalsText), &e.Signals); err != nil {
			return e, fmt.Errorf("incident %s in the store: signals: %w", printable(e.Incident, 60), err)
		}
	}
	if r.ID == "" {
		e.Decision = nil
		return e, nil
	}
	e.ID, e.Expires = r.ID, instant(r.ExpiresMS)
	if r.EvidenceText != "" {
		if err := json.Unmarshal([]byte(r.EvidenceText), &e.Evidence); err != nil {
			return e, fmt.Errorf("decision %s in the store: evidence: %w", printable(e.ID, 60), err)
		}
	}
	return e, nil
}
