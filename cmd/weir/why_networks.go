package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/weir-project/weir/schemas"
)

// toldNetworks is how many networks are told of on each side.
const toldNetworks = 6

// networks says of a score how where a client comes from counts: those networks that speak most for the attack, and
// those that speak most against it, next to a network that the score does not list.
func (s *sheet) networks(value string) {
	score, err := schemas.ParseScore(value)
	if err != nil || !score.FromNetworks() {
		return
	}
	type told struct {
		network string
		points  int
	}
	var all []told
	most := 0
	for i := range score.Traits {
		t := &score.Traits[i]
		if !t.Trait.IsNetwork() {
			continue
		}
		high := t.Other
		for _, v := range t.Values {
			all, high = append(all, told{v.Value, v.Points - t.Other}), max(high, v.Points)
		}
		most += high
	}
	slices.SortStableFunc(all, func(x, y told) int { return cmp.Compare(y.points, x.points) })
	names := func(side []told) string {
		var list []string
		for _, n := range side[:min(len(side), toldNetworks)] {
			list = append(list, n.network)
		}
		return strings.Join(list, ", ")
	}
	raise := all[:slices.IndexFunc(append(all, told{"", 0}), func(n told) bool { return n.points <= 0 })]
	lower := slices.DeleteFunc(slices.Clone(all), func(n told) bool { return n.points >= 0 })
	slices.Reverse(lower)
	s.say(2, "Where a client comes from counts among the rest: at most %d of the %d points that it takes.", most, score.Least)
	if len(raise) > 0 {
		s.say(2, "For the attack most: %s (of %s).", names(raise), plural(len(raise), "network"))
	}
	if len(lower) > 0 {
		s.say(2, "Against it, as visitors come from there: %s (of %s).", names(lower), plural(len(lower), "network"))
	}
}
