package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/weir-project/weir/collectors/tail"
)

// Bounds of what is said of the clocks of past logs.
const (
	strayLines = 8               // whose times fit nothing, at least
	strayShare = 1.0 / 32        // of a log's requests, likewise
	stillLines = 64              // requests of one second that are a clock standing still
	stillOther = time.Minute     // that another log covers meanwhile
	spanAgree  = 5 * time.Minute // by which both ends of logs of the same span differ
	spanLeast  = time.Minute
)

// clockRemarks are which of several logs have a clock that is wrong, as far as the logs say it
// themselves. No log says when its lines were written but by its own clock: of one that is off by
// seconds it is not known.
func clockRemarks(files []tail.FileStats, now time.Time) (remarks []string) {
	longest := time.Duration(0)
	for i := range files {
		longest = max(longest, lengthOf(&files[i]))
	}
	for i := range files {
		f := &files[i]
		if what := clockOf(f, longest, now); what != "" {
			remarks = append(remarks, fmt.Sprintf("log %s: %s", printable(f.Path, 200), what))
		} else if off := offOthers(files, i); off != 0 {
			way := "later"
			if off < 0 {
				way, off = "earlier", -off
			}
			remarks = append(remarks, fmt.Sprintf("log %s covers as long as the others, %s %s: if it is of the same hours, its clock is wrong", printable(f.Path, 200), short(off), way))
		}
	}
	return remarks
}

func lengthOf(f *tail.FileStats) time.Duration {
	return time.Duration(f.Last-f.First) * time.Millisecond
}

func stray(f *tail.FileStats) bool {
	return f.Strays >= strayLines && float64(f.Strays) >= strayShare*float64(f.Parsed)
}

// clockOf is what a log says of its own clock, "" for nothing wrong.
func clockOf(f *tail.FileStats, longest time.Duration, now time.Time) string {
	switch from, to := time.UnixMilli(f.First), time.UnixMilli(f.Last); {
	case f.SetBack > 0:
		return fmt.Sprintf("its clock was set back, by %s in all; from there on its requests count at the corrected time", short((time.Duration(f.SetBack) * time.Millisecond).Round(time.Minute)))
	case stray(f):
		return fmt.Sprintf("the times of %s of its %s requests fit nothing before or after: its clock jumps; they count with the lines around them", count(f.Strays), count(f.Parsed))
	case f.Parsed >= stillLines && to.Sub(from) < time.Second && longest >= stillOther:
		return fmt.Sprintf("all of its %s requests have one time, %s: its clock stood still", count(f.Parsed), from.UTC().Format(time.DateTime))
	case f.Parsed > 0 && to.Year() < 1991: // before there were logs of this kind
		return fmt.Sprintf("it is of %d to %d: its clock was wrong", from.UTC().Year(), to.UTC().Year())
	case f.Parsed > 0 && from.After(now.Add(24*time.Hour)):
		return fmt.Sprintf("it is of the future, from %s on: its clock was wrong", from.UTC().Format(time.DateTime))
	}
	return ""
}

// offOthers is by how much a log is later than at least two others that cover one span, where it
// covers as long, and neither goes on from them nor is of another day at the same hours.
func offOthers(files []tail.FileStats, i int) time.Duration {
	f := &files[i]
	var offs []time.Duration
	for j := range files {
		o := &files[j]
		if j == i || o.Parsed == 0 || stray(o) || lengthOf(o) < spanLeast {
			continue
		}
		begin, end := time.Duration(f.First-o.First)*time.Millisecond, time.Duration(f.Last-o.Last)*time.Millisecond
		if (begin - end).Abs() > spanAgree { // of another span
			continue
		}
		offs = append(offs, (begin+end)/2)
	}
	if len(offs) < 2 || f.Parsed == 0 {
		return 0
	}
	least, most := slices.Min(offs), slices.Max(offs)
	off := offs[0]
	day := off - off.Round(24*time.Hour)
	switch {
	case most-least > spanAgree: // they are of several spans
	case off.Abs() <= 2*spanAgree:
	case day.Abs() <= 2*spanAgree:
	case (off.Abs() - lengthOf(f)).Abs() <= 2*spanAgree: // rotated
	default:
		return off
	}
	return 0
}
