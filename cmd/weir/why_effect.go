package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// decisionOf is the id of the decision that an event is about, "" for an incident's.
func decisionOf(e schemas.Event) string {
	if e.Decision == nil {
		return ""
	}
	return e.ID
}

// effects are what the edges did for the decisions so far, in whole lines for a person, by
// their ids: beside what each was expected to stop and to touch. There are none where the
// events come from a file, for a file tells of no requests.
func (c *whyCommand) effects(ctx context.Context, p *program, found []schemas.Event) (map[string]string, error) {
	var ids []string
	for _, e := range found {
		if id := decisionOf(e); id != "" {
			ids = append(ids, clickhouse.Literal(id))
		}
	}
	if c.Events != "" || len(ids) == 0 {
		return nil, nil
	}
	data, err := c.directory(p)
	if err != nil {
		return nil, err
	}
	db, closeDB, err := openData(ctx, data, false, nil)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	query := `SELECT decision, action, toUInt64(sum(requests)) AS requests, uniqCombined64Merge(14)(clients) AS clients,
		formatDateTime(min(time), '%F %T') AS first, formatDateTime(max(time), '%F %T') AS last
		FROM decision_hits WHERE decision IN (` + strings.Join(ids, ", ") + `) GROUP BY decision, action ORDER BY decision, requests DESC`
	err = db.Query(ctx, query, clickhouse.QueryOptions{Format: "JSONEachRow", Settings: map[string]any{"output_format_json_quote_64bit_integers": 0}}, &body)
	if err = errors.Join(err, closeDB()); err != nil {
		return nil, err
	}
	done := make(map[string]string)
	for decoder := json.NewDecoder(&body); decoder.More(); {
		var row struct {
			Decision, Action, First, Last string
			Requests, Clients             uint64
		}
		if err := decoder.Decode(&row); err != nil {
			return nil, err
		}
		what := "Did so far: " + printable(row.Action, 20)
		if schemas.Action(row.Action) == schemas.Allow {
			what = "Let through to see who it is"
		}
		done[row.Decision] += fmt.Sprintf("  %s: %s requests of %s clients, %s to %s UTC.\n", what, count(row.Requests), count(row.Clients), row.First, row.Last)
	}
	for _, e := range found {
		if id := decisionOf(e); id != "" && done[id] == "" {
			done[id] = "  Did nothing so far: no edge has logged a request for it.\n"
		}
	}
	return done, nil
}
