package main

import (
	"strings"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

// mostHours bounds --hours: 400 days.
const mostHours = 400 * 24

// check refuses flags that mean nothing, or that what is to be written does not have: a flag that is
// left out of account would give a log that is not what was asked for.
func (c *simulateCommand) check() error {
	if c.Log == "-" && c.Truth == "" {
		return usagef("standard output takes the log alone: say where the truth goes, --truth FILE")
	}
	if !(c.Hours >= 0 && c.Hours <= mostHours) {
		return usagef("--hours %v: give 0 to %d", c.Hours, mostHours)
	}
	if c.Scenario == "" {
		return refuse("only with --scenario NAME", c.foreign(map[string]bool{
			"--strength": c.Strength != 1, "--hour": c.Hour != 14, "--span": c.Span != 0, "--estate": c.Estate != "tuning",
		}))
	}
	if err := refuse("only without --scenario: one of the library has its own attack, which --strength multiplies", c.foreign(map[string]bool{
		"--requests": c.Requests != 10000, "--addresses": c.Addresses != 3500, "--duration": c.Duration != 10*time.Minute,
		"--target": c.Target != "", "--start": c.Start != "", "--tail": c.Tail != 10*time.Minute, "--plain": c.Plain,
	})); err != nil {
		return err
	}
	if c.Hours == 0 {
		return usagef("--hours 0: something ordinary comes before a scenario; give more than 0, at most %d (newborn is a site without a past)", mostHours)
	}
	return checkScenario(c.Scenario, "--scale", c.Scale, c.Strength, c.Span)
}

// checkScenario refuses a size, a strength or a span that a scenario cannot be played with.
func checkScenario(name, sizeFlag string, size, strength float64, span time.Duration) error {
	s, err := simulate.FindScenario(name)
	if err != nil {
		return usageError{err}
	}
	most := s.MostStrength()
	switch {
	case !(size >= simulate.LeastSize && size <= simulate.MostSize):
		return usagef("%s %v: give %v to %v", sizeFlag, size, simulate.LeastSize, simulate.MostSize)
	case !(strength >= simulate.LeastSize && strength <= most):
		return usagef("--strength %v: give %v to %v for %s", strength, simulate.LeastSize, most, name)
	case span != 0 && !s.Quiet:
		return usagef("--span %s: %s lasts as long as it does; only quiet has a span", span, name)
	case span < 0 || span > mostHours*time.Hour:
		return usagef("--span %s: give 1s to %dh", span, mostHours)
	}
	return nil
}

// foreign are the flags that were given, in order.
func (c *simulateCommand) foreign(given map[string]bool) (flags []string) {
	for _, flag := range []string{"--requests", "--addresses", "--duration", "--target", "--start", "--tail", "--plain", "--strength", "--hour", "--span", "--estate"} {
		if given[flag] {
			flags = append(flags, flag)
		}
	}
	return flags
}

func refuse(why string, flags []string) error {
	if len(flags) == 0 {
		return nil
	}
	return usagef("%s: %s", strings.Join(flags, ", "), why)
}
