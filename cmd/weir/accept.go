package main

import (
	"cmp"
	"context"
	"fmt"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

type acceptDecisionsCommand struct {
	dataFlag
	IDs []string      `arg:"" name:"decision" help:"Ids of decisions, or of an incident for all of its."`
	For time.Duration `default:"1h" help:"How long they are in force: what a person has accepted is not renewed."`
}

// Run takes weir's own decisions as one's own: they are enforced whatever the mode.
func (c *acceptDecisionsCommand) Run(ctx context.Context, s screen, p *program) error {
	if c.For <= 0 || c.For > schemas.LongestByHand {
		return usagef("--for %s: give more than 0 and at most %s", c.For, short(schemas.LongestByHand))
	}
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	client := newControlClient(data)
	inForce, err := client.events(ctx, "/api/decisions")
	if err != nil {
		return err
	}
	accepted := accept(inForce, c.IDs, c.For, time.Now())
	if len(accepted) == 0 && len(accept(own(inForce), c.IDs, c.For, time.Now())) > 0 {
		fmt.Fprintln(s.out, "All of it was accepted before, and lasts as long; weir decisions list shows it.")
		return nil
	}
	if len(accepted) == 0 {
		return fmt.Errorf("no decision of weir's own in force is or belongs to %s; weir decisions list shows those that are", printable(fmt.Sprint(c.IDs), 80))
	}
	if err := client.post(ctx, accepted); err != nil {
		return err
	}
	incidents := make(map[string]bool)
	for i, e := range accepted {
		if e.Incident != "" && !incidents[e.Incident] {
			incidents[e.Incident] = true
			if err := client.confirm(ctx, e.Incident); err != nil { // what was accepted counts all the same
				fmt.Fprintf(s.err, "weir: %s is not confirmed: %v\n", printable(e.Incident, 40), err)
			}
		}
		if i < eachTold {
			fmt.Fprintf(s.out, "%s: %s %s %s on %s until %s\n", e.ID, e.Action, e.Scope, printable(e.Value, 100), sitesText(e.Sites, 60), e.Expires.UTC().Format(time.DateTime+" UTC"))
		}
	}
	if n := len(accepted) - eachTold; n > 0 {
		fmt.Fprintf(s.out, "and %s more\n", count(n))
	}
	fmt.Fprintf(s.out, "Enforced from now on, whatever the mode; only a person ends that sooner: weir decisions rm %s\n", printable(strings.Join(toLift(accepted), " "), 400))
	return nil
}

// toLift is what ends decisions that were accepted: of one its id, of more their incidents, which lifts all of these.
func toLift(accepted []schemas.Event) (ids []string) {
	if len(accepted) == 1 {
		return []string{accepted[0].ID}
	}
	for i := range accepted {
		if id := cmp.Or(accepted[i].Incident, accepted[i].ID); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// own are weir's own decisions.
func own(events []schemas.Event) []schemas.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e schemas.Event) bool { return e.Decision == nil || e.Origin != schemas.OriginWeir })
}

// accept makes a person's decisions of weir's.
func accept(inForce []schemas.Event, ids []string, duration time.Duration, now time.Time) []schemas.Event {
	return schemas.Accept(inForce, ids, duration, me(), now)
}

// me is who gives a command, by the account.
func me() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "somebody"
}
