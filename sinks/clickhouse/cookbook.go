package clickhouse

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	migrations "github.com/weir-project/weir/schemas/clickhouse"
)

// Subject is what a recipe of the cookbook is asked about. Where a recipe needs what
// is empty, that is an error.
type Subject struct {
	Incident string     // its id; "latest" is the one that opened last
	Other    string     // an earlier incident to compare with; "" is the last before on one of the same sites
	Client   netip.Addr // zero: none
}

// Case is an incident as its recipes see it.
type Case struct {
	Incident       string
	Kind           string
	Cause          string
	Sites          []string
	Opened, Closed time.Time // Closed is zero while it is open
	End            time.Time // Closed, or the last time that anything of it is known
}

// Spans of time around an incident.
const (
	beginEarlier = time.Minute     // an attack has begun before it is noticed
	beforeGap    = 2 * time.Minute // "before" ends so long before the opening
	beforeLength = 24 * time.Hour
)

// Stopped is true for a request that an edge did not let through.
const Stopped = "action IN ('block', 'challenge', 'throttle')"

// ErrNoIncident is wrapped where the store knows no such incident.
var ErrNoIncident = errors.New("the store knows no such incident")

// Case looks an incident up; "latest" is the one that opened last.
func (db *DB) Case(ctx context.Context, id string) (Case, error) {
	where := "incident = " + Literal(id)
	if id == "latest" {
		where = "incident = (SELECT argMax(incident, opened) FROM incidents WHERE opened IS NOT NULL)"
	}
	all, err := db.cases(ctx, where)
	if err != nil {
		return Case{}, err
	}
	if len(all) == 0 {
		return Case{}, fmt.Errorf("incident %q: %w: weir incidents shows those that there are", shortened(id, 80), ErrNoIncident)
	}
	return all[0], nil
}

// cases are incidents, the last opened first.
func (db *DB) cases(ctx context.Context, where string) (all []Case, err error) {
	// An incident that goes on ends with what is known of it, and not later than a week on.
	err = db.Rows(ctx, `SELECT i.incident AS Incident, argMax(kind, i.time) AS Kind, argMax(cause, i.time) AS Cause, argMax(i.sites, i.time) AS Sites,
	toUnixTimestamp64Milli(coalesce(min(i.opened), min(i.time))) AS OpenedMS, toUnixTimestamp64Milli(coalesce(max(i.closed), toDateTime64(0, 3))) AS ClosedMS,
	toUnixTimestamp64Milli(max(i.time)) AS LastMS
FROM incidents AS i WHERE `+where+` GROUP BY i.incident ORDER BY OpenedMS DESC, Incident LIMIT 1000`, func(d *json.Decoder) error {
		var row struct {
			Incident, Kind, Cause      string
			Sites                      []string
			OpenedMS, ClosedMS, LastMS int64
		}
		if err := d.Decode(&row); err != nil {
			return err
		}
		c := Case{Incident: row.Incident, Kind: row.Kind, Cause: row.Cause, Sites: row.Sites, Opened: time.UnixMilli(row.OpenedMS).UTC()}
		if row.ClosedMS > 0 {
			c.Closed = time.UnixMilli(row.ClosedMS).UTC()
			c.End = c.Closed
		}
		all = append(all, c)
		return nil
	})
	for i := range all {
		if all[i].End.IsZero() && err == nil {
			err = db.endOf(ctx, &all[i])
		}
	}
	return all, err
}

// endOf finds how far the requests of an open incident go.
func (db *DB) endOf(ctx context.Context, c *Case) error {
	c.End = c.Opened
	latest := c.Opened.Add(7 * 24 * time.Hour)
	return db.Rows(ctx, "SELECT toUnixTimestamp(max(time)) + 60 AS Last FROM rollup_1m WHERE site IN ("+siteList(c.Sites)+") AND time >= "+
		Instant(c.Opened)+" AND time <= "+Instant(latest), func(d *json.Decoder) error {
		var row struct{ Last int64 }
		if err := d.Decode(&row); err != nil {
			return err
		}
		if last := time.Unix(row.Last, 0).UTC(); last.After(c.End) {
			c.End = last
		}
		return nil
	})
}

// Recipe is a named query of the cookbook, filled in for a subject.
func (db *DB) Recipe(ctx context.Context, name string, about Subject) (string, error) {
	all, err := migrations.Cookbook()
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(all, func(r migrations.Recipe) bool { return r.Name == name })
	if i < 0 {
		return "", fmt.Errorf("@%s: the cookbook has no such query: `weir sql @` lists those that there are", shortened(name, 80))
	}
	recipe := all[i]
	places := recipe.Places()
	expressions := map[string]string{"around": "1"}
	if about.Client.IsValid() {
		expressions["isclient"] = isClient(about.Client)
	}
	needsIncident := slices.ContainsFunc(places, func(p string) bool { return p != "isclient" && p != "around" })
	if needsIncident && about.Incident == "" {
		return "", fmt.Errorf("@%s is about an incident: give --incident with an id that `weir incidents` shows, or latest", name)
	}
	if slices.Contains(places, "isclient") && !about.Client.IsValid() {
		return "", fmt.Errorf("@%s is about a client: give --client with an address", name)
	}
	if about.Incident == "" {
		return recipe.Fill(expressions)
	}
	c, err := db.Case(ctx, about.Incident)
	if err != nil {
		return "", err
	}
	for place, expression := range c.Expressions() {
		expressions[place] = expression
	}
	if slices.Contains(places, "otherduring") {
		other, err := db.other(ctx, c, about.Other)
		if err != nil {
			return "", err
		}
		expressions["other"], expressions["otherduring"] = Literal(other.Incident), other.during()
	}
	return recipe.Fill(expressions)
}

// isClient is true for the requests of a client. The sorting key has networks and no
// clients: with the network, little is read. A hashed address does not tell its own.
func isClient(client netip.Addr) string {
	client = client.Unmap().WithZone("")
	address := "toIPv6(" + Literal(client.String()) + ")"
	if hashed := client.As16(); hashed[0] == 0xfd {
		return "client = " + address
	}
	network := netip.AddrFrom16(networkOf(client.As16())).Unmap()
	return "network = toIPv6(" + Literal(network.String()) + ") AND client = " + address
}

// other is the earlier incident to compare with.
func (db *DB) other(ctx context.Context, c Case, id string) (Case, error) {
	if id != "" {
		return db.Case(ctx, id)
	}
	all, err := db.cases(ctx, "incident != "+Literal(c.Incident)+" AND opened < "+Instant(c.Opened)+" AND hasAny(i.sites, ["+siteList(c.Sites)+"])")
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("no incident before %s was on its sites: name another with --other", shortened(c.Incident, 80))
	}
	if err != nil {
		return Case{}, err
	}
	return all[0], nil
}

func (c Case) span(from, to time.Time) string {
	return "site IN (" + siteList(c.Sites) + ") AND time >= " + Instant(from) + " AND time <= " + Instant(to)
}

func (c Case) during() string { return c.span(c.Opened.Add(-beginEarlier), c.End) }

func (c Case) before() string {
	return c.span(c.Opened.Add(-beforeLength), c.Opened.Add(-beforeGap))
}

// Expressions are what stands for a recipe's places.
func (c Case) Expressions() map[string]string {
	begin, notLater := Instant(c.Opened.Add(-beginEarlier)), Instant(c.Opened.Add(-beforeGap))
	known := "SELECT client FROM requests WHERE " + c.before() + " AND status BETWEEN 200 AND 399 AND NOT (" + Stopped + ")"
	// Who is new and was stopped; where no edge stopped anything, who is new.
	attackers := "SELECT client FROM requests WHERE " + c.during() + " AND client NOT IN (" + known + ") GROUP BY client HAVING countIf(" + Stopped +
		") > 0 OR (SELECT countIf(" + Stopped + ") FROM requests WHERE " + c.during() + ") = 0"
	return map[string]string{
		"incident": Literal(c.Incident), "sites": siteList(c.Sites),
		"opened": Instant(c.Opened), "begin": begin, "end": Instant(c.End),
		"during": c.during(), "before": c.before(), "both": c.span(c.Opened.Add(-beforeLength), c.End) + " AND (time <= " + notLater + " OR time >= " + begin + ")",
		"isbefore": "(time <= " + notLater + ")", "isduring": "(time >= " + begin + ")",
		"known": known, "attackers": attackers,
		"around": "time >= " + Instant(c.Opened.Add(-7*24*time.Hour)) + " AND time <= " + Instant(c.End.Add(7*24*time.Hour)),
	}
}

func siteList(sites []string) string {
	if len(sites) == 0 {
		return "''"
	}
	all := make([]string, len(sites))
	for i, site := range sites {
		all[i] = Literal(site)
	}
	return strings.Join(all, ", ")
}

var harmless = regexp.MustCompile(`^[A-Za-z0-9 ._:/@,;=+*()-]*$`)

// Literal is any text as an SQL expression, whatever is in it.
func Literal(text string) string {
	if harmless.MatchString(text) {
		return "'" + text + "'"
	}
	return "unhex('" + hex.EncodeToString([]byte(text)) + "')"
}

// Instant is a time as an SQL expression, to the millisecond.
func Instant(t time.Time) string {
	return "toDateTime64('" + clamp(t).Format("2006-01-02 15:04:05.000") + "', 3, 'UTC')"
}

// Rows asks for rows of JSON and has each taken.
func (db *DB) Rows(ctx context.Context, query string, take func(*json.Decoder) error) error {
	var body bytes.Buffer
	err := db.Query(ctx, query, QueryOptions{Format: "JSONEachRow", Settings: map[string]any{"output_format_json_quote_64bit_integers": 0}}, &body)
	if err != nil {
		return err
	}
	for decoder := json.NewDecoder(&body); decoder.More(); {
		if err := take(decoder); err != nil {
			return fmt.Errorf("query: %w", err)
		}
	}
	return nil
}

func shortened(text string, n int) string {
	if len(text) > n {
		return text[:n] + "…"
	}
	return text
}
