package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

const (
	// askedShown is how many of a client's requests are shown, askedClients of how many clients at most.
	askedShown, askedClients = 5, 8
	// askedBefore is how far before a decision its client's requests are looked for.
	askedBefore = time.Hour
)

// asked are the newest requests of clients that are decided on, by the decision: its evidence has one of them, where
// there was room for its text.
type asked map[string][]string

// askedBy asks the store for what the decisions on single clients among events are about.
func (c *whyCommand) askedBy(ctx context.Context, p *program, found []schemas.Event) (list asked, err error) {
	if c.Events != "" {
		return nil, nil
	}
	var of []schemas.Event
	for _, e := range found {
		if decisionOf(e) != "" && e.Scope == schemas.ScopeClient && len(of) < askedClients {
			of = append(of, e)
		}
	}
	if len(of) == 0 {
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
	defer func() { err = errors.Join(err, closeDB()) }()
	list = make(asked)
	for _, e := range of {
		addr, err := netip.ParseAddr(e.Value)
		if err != nil {
			continue
		}
		query := fmt.Sprintf(`SELECT formatDateTime(time, '%%T') AS at, toString(method) AS method, toString(path) AS path, toString(query) AS query, toUInt16(status) AS status, toString(action) AS action, toString(user_agent) AS agent
			FROM requests WHERE client BETWEEN toIPv6('%s') AND toIPv6('%s') AND time >= %s%s ORDER BY requests.time DESC LIMIT %d`,
			firstOf(addr), lastOf(addr), instantSQL(e.Time.Add(-askedBefore)), onSites(e.Sites), askedShown)
		if err := rowsOf(ctx, db, query, func(d *json.Decoder) error {
			var row struct {
				At, Method, Path, Query, Action, Agent string
				Status                                 uint16
			}
			if err := d.Decode(&row); err != nil {
				return err
			}
			if row.Query != "" {
				row.Path += "?" + row.Query
			}
			list[e.ID] = append(list[e.ID], fmt.Sprintf("%s %d %s %s %s | %s", row.At, row.Status, row.Action, row.Method, row.Path, row.Agent))
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// onSites is a condition on the column site, "" for every site.
func onSites(sites []string) string {
	if len(sites) == 0 || len(sites) > listedIDs {
		return ""
	}
	list := make([]string, len(sites))
	for i, site := range sites {
		list[i] = literal(site)
	}
	return " AND site IN (" + strings.Join(list, ", ") + ")"
}

// firstOf and lastOf are the addresses between which a client's are.
func firstOf(addr netip.Addr) netip.Addr {
	return netip.AddrFrom16(schemas.ClientOf(addr).As16())
}

func lastOf(addr netip.Addr) netip.Addr {
	client := schemas.ClientOf(addr)
	last := client.As16()
	if !client.Is4() {
		for i := 8; i < len(last); i++ {
			last[i] = 0xFF
		}
	}
	return netip.AddrFrom16(last)
}

// asked shows a client's requests as they are stored.
func (s *sheet) asked(requests []string) {
	if len(requests) == 0 {
		return
	}
	s.say(2, "What it asked for last (UTC, status, what was done):")
	for _, line := range requests {
		s.line("    %s", printable(line, 160))
	}
}
