package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

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

// effect is what the edges did for a decision so far, beside what it was expected to stop and to
// touch; or for all of an incident together.
type effect struct {
	Actions []actionEffect `json:"actions"`
	// Known are the clients that were stopped and that the site had answered well on the day
	// before: visitors, as far as that can be seen. Some may be bots that came before.
	Known uint64 `json:"known"`
}

// actionEffect is what was done in one way. Allow is a probe: let through to see who it is.
type actionEffect struct {
	Action   schemas.Action `json:"action"`
	Requests uint64         `json:"requests"`
	Clients  uint64         `json:"clients"` // to 0.8 %
	First    time.Time      `json:"first"`
	Last     time.Time      `json:"last"`
}

// stopped are the requests and clients that were not let through, and the probes' requests. Who was
// challenged and then blocked counts twice among the clients.
func (e *effect) stopped() (requests, clients, probes uint64) {
	if e == nil {
		return 0, 0, 0
	}
	for _, a := range e.Actions {
		if a.Action.Severity() > 0 {
			requests, clients = requests+a.Requests, clients+a.Clients
		} else {
			probes += a.Requests
		}
	}
	return requests, clients, probes
}

// effects are by decision; under "" all together.
type effects map[string]*effect

// listedIDs bounds the ids that a query names; the other decisions of an incident are found by its id.
const listedIDs = 500

// effects asks the store. There are none where the events come from a file, for a file tells of
// no requests.
func (c *whyCommand) effects(ctx context.Context, p *program, found []schemas.Event) (effects, error) {
	if c.Events != "" {
		return nil, nil
	}
	data, err := c.directory(p)
	if err != nil {
		return nil, err
	}
	return effectsOf(ctx, data, found)
}

// effectsOf asks the store of a data directory.
func effectsOf(ctx context.Context, data string, found []schemas.Event) (done effects, err error) {
	of := chosenDecisions(found)
	if of == "" {
		return nil, nil
	}
	db, closeDB, err := openData(ctx, data, false, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeDB()) }()
	done = make(effects)
	for _, e := range found {
		if id := decisionOf(e); id != "" {
			done[id] = new(effect)
		}
	}
	done[""] = new(effect)
	for _, by := range []string{"decision", "''"} {
		if err := done.count(ctx, db, by, of); err != nil {
			return nil, err
		}
		if err := done.known(ctx, db, by, of, found); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// chosenDecisions is a condition on the column decision that holds for the decisions among events.
func chosenDecisions(found []schemas.Event) string {
	var of, ids []string
	incidents := make(map[string]bool)
	for _, e := range found {
		id := decisionOf(e)
		switch own := e.Incident != "" && strings.HasPrefix(id, e.Incident+"-"); {
		case id == "":
		case own && len(found) > listedIDs:
			if !incidents[e.Incident] && len(incidents) < listedIDs {
				incidents[e.Incident] = true
				of = append(of, "startsWith(decision, "+clickhouse.Literal(e.Incident+"-")+")")
			}
		case len(ids) < listedIDs:
			ids = append(ids, clickhouse.Literal(id))
		}
	}
	if len(ids) > 0 {
		of = append(of, "decision IN ("+strings.Join(ids, ", ")+")")
	}
	if len(of) == 0 {
		return ""
	}
	return "(" + strings.Join(of, " OR ") + ")"
}

func (done effects) count(ctx context.Context, db *clickhouse.DB, by, of string) error {
	return rowsOf(ctx, db, `SELECT `+by+` AS id, action, toUInt64(sum(requests)) AS matched, uniqCombined64Merge(14)(clients) AS who,
		toUnixTimestamp(min(time)) AS first, toUnixTimestamp(max(time)) AS last
		FROM decision_hits WHERE `+of+` GROUP BY id, action ORDER BY id, matched DESC`, func(d *json.Decoder) error {
		var row struct {
			ID           string
			Action       schemas.Action
			Matched, Who uint64
			First, Last  int64
		}
		if err := d.Decode(&row); err != nil {
			return err
		}
		if e := done[row.ID]; e != nil {
			e.Actions = append(e.Actions, actionEffect{row.Action, row.Matched, row.Who, time.Unix(row.First, 0).UTC(), time.Unix(row.Last, 0).UTC()})
		}
		return nil
	})
}

// known counts those who were stopped and had been answered well on the day before it began.
func (done effects) known(ctx context.Context, db *clickhouse.DB, by, of string, found []schemas.Event) error {
	from, sites := time.Time{}, make(map[string]bool)
	for _, e := range found {
		at := e.Opened
		if e.Decision != nil && e.Incident == "" || at.IsZero() {
			at = e.Time
		}
		if opened, ok := strings.CutPrefix(e.Incident, "i"); ok && len(opened) >= 13 { // its second
			if t, err := time.Parse("060102-150405", opened[:13]); err == nil {
				at = t
			}
		}
		if from.IsZero() || at.Before(from) {
			from = at
		}
		for _, site := range e.Sites[:min(len(e.Sites), listedIDs)] {
			sites[literal(site)] = true
		}
	}
	where := "1"
	if len(sites) > 0 && len(sites) <= listedIDs {
		var list []string
		for site := range sites {
			list = append(list, site)
		}
		where = "site IN (" + strings.Join(list, ", ") + ")"
	}
	return rowsOf(ctx, db, fmt.Sprintf(`SELECT %[1]s AS id, uniqExact(client) AS who FROM requests
		WHERE %[2]s AND time >= %[3]s AND %[4]s AND %[5]s AND client IN (
			SELECT client FROM requests WHERE %[2]s AND time BETWEEN %[6]s AND %[7]s AND status BETWEEN 200 AND 399 AND NOT (%[4]s))
		GROUP BY id`, by, where, instantSQL(from.Add(-time.Minute)), stoppedSQL, of, instantSQL(from.Add(-casePast)), instantSQL(from.Add(-caseBefore))),
		func(d *json.Decoder) error {
			var row struct {
				ID  string
				Who uint64
			}
			if err := d.Decode(&row); err != nil {
				return err
			}
			if e := done[row.ID]; e != nil {
				e.Known = row.Who
			}
			return nil
		})
}
