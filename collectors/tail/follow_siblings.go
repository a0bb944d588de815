package tail

import (
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// sibling is a file beside the followed one that rotation has made of it.
type sibling struct {
	name   string // with its directory
	suffix string // what rotation added
	info   os.FileInfo
	id     fileID
}

func (s sibling) changed() int64 { return s.info.ModTime().UnixNano() }

// What log rotation appends to a name (".1", "-20261122", ".2026-11-22_05"), and
// what a packer appends to that.
var (
	rotated = regexp.MustCompile(`^[.-][0-9][0-9._-]*$`)
	packing = regexp.MustCompile(`\.(gz|zst|xz|bz2)$`)
	digits  = regexp.MustCompile(`[0-9]+`)
)

// maxSiblings bounds how many files beside a log are looked at: the newest.
const maxSiblings = 4096

// siblings are the files beside path that rotation has made of it, in the order
// of rotation: by when they were last written to, and then by name. Where path is
// a link to a file with a date or a number in its name, files that differ from
// that one in digits only are of them.
func siblings(path string) (plain, packed []sibling) {
	seen := map[fileID]bool{}
	add := func(directory, prefix string, suffixOf func(name string) (string, bool)) {
		entries, err := os.ReadDir(directory)
		if err != nil {
			return
		}
		for _, entry := range entries {
			if !strings.HasPrefix(entry.Name(), prefix) { // of a thousand logs in a directory, most
				continue
			}
			bare := packing.ReplaceAllString(entry.Name(), "")
			suffix, ours := suffixOf(bare)
			if !ours {
				continue
			}
			info, err := entry.Info()
			if err != nil || !info.Mode().IsRegular() || seen[idOf(info)] {
				continue
			}
			s := sibling{filepath.Join(directory, entry.Name()), suffix, info, idOf(info)}
			seen[s.id] = true
			if bare == entry.Name() {
				plain = append(plain, s)
			} else {
				packed = append(packed, s)
			}
		}
	}
	add(filepath.Dir(path), filepath.Base(path), func(name string) (string, bool) {
		suffix, ours := strings.CutPrefix(name, filepath.Base(path))
		return suffix, ours && rotated.MatchString(suffix)
	})
	if target := linked(path); target != "" {
		if base := filepath.Base(target); digits.MatchString(base) {
			shape := digits.ReplaceAllString(base, "0")
			add(filepath.Dir(target), "", func(name string) (string, bool) {
				return name, digits.ReplaceAllString(name, "0") == shape
			})
		}
	}
	return inOrder(plain), inOrder(packed)
}

// linked is the file that path is a link to, "" where it is none.
func linked(path string) string {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		return ""
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	return target
}

func inOrder(s []sibling) []sibling {
	sort.Slice(s, func(i, j int) bool {
		if a, b := s[i].changed(), s[j].changed(); a != b {
			return a < b
		}
		return olderSuffix(s[i].suffix, s[j].suffix)
	})
	return s[max(0, len(s)-maxSiblings):]
}

// olderSuffix says which of two files was rotated first by its name: numbers
// count back in time, dates count on.
func olderSuffix(a, b string) bool {
	x, errA := strconv.ParseUint(strings.TrimLeft(a, ".-"), 10, 64)
	y, errB := strconv.ParseUint(strings.TrimLeft(b, ".-"), 10, 64)
	if errA == nil && errB == nil && x < 1e6 && y < 1e6 {
		return x > y
	}
	return a < b
}

// directoryTimes are when the directories that the siblings are in were last
// changed: every rename, creation and deletion in them moves one.
func directoryTimes(path string) (times [2]int64) {
	if info, err := os.Stat(filepath.Dir(path)); err == nil {
		times[0] = info.ModTime().UnixNano()
	}
	if target := linked(path); target != "" {
		if info, err := os.Stat(filepath.Dir(target)); err == nil {
			times[1] = info.ModTime().UnixNano()
		}
	}
	return times
}
