package tail

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-project/weir/collectors/accesslog"
)

// turned is what log rotation appends to a name, at its end.
var turned = regexp.MustCompile(`[.-][0-9][0-9._-]*$`)

// Doubt is a file that may be a log, or what rotation made of another one.
type Doubt struct {
	Path string
	Log  string // of which rotation may have made it
}

// Logs are the logs that a pattern of paths means at this moment: what it matches, but
// for packed files and those that rotation has made of a log, which whoever follows that
// log reads. Paths are absolute and sorted. A pattern without '*', '?' and '[' is a log,
// be it there or not.
//
// doubts are those that look as if rotation had made them of a log that is not there:
// either it is being made anew at this moment, or they are logs of their own.
func Logs(pattern string) (logs []string, doubts []Doubt, err error) {
	pattern, err = filepath.Abs(pattern)
	if err != nil {
		return nil, nil, err
	}
	if !strings.ContainsAny(pattern, `*?[`) {
		return []string{pattern}, nil, nil
	}
	matches, err := filepath.Glob(pattern)
	if err != nil {
		return nil, nil, fmt.Errorf("the pattern %q is malformed", pattern)
	}
	seen := map[fileID]string{}
	var links []string
	for _, path := range matches {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || packing.MatchString(path) {
			continue
		}
		switch base := turned.ReplaceAllString(path, ""); {
		case base == path || filepath.Base(base) == ".":
		case there(base):
			continue
		default:
			if matched, _ := filepath.Match(pattern, base); matched {
				doubts = append(doubts, Doubt{path, base})
				continue
			}
		}
		linked := linked(path) != ""
		if other, is := seen[idOf(info)]; is && !linked {
			continue
		} else if is { // the link is the name that stays
			logs = slices.DeleteFunc(logs, func(l string) bool { return l == other })
		}
		seen[idOf(info)] = path
		logs = append(logs, path)
		if linked {
			links = append(links, path)
		}
	}
	for _, link := range links { // to a file with a date in its name, perhaps
		plain, _ := siblings(link)
		logs = slices.DeleteFunc(logs, func(l string) bool {
			return slices.ContainsFunc(plain, func(s sibling) bool { return s.name == l })
		})
	}
	slices.Sort(logs)
	return logs, doubts, nil
}

// Alike reports whether a file may be one of those that a link to another turns to: of
// the same directory, and with a name that differs in digits only, of which it has some.
func Alike(path, target string) bool {
	return path != target && filepath.Dir(path) == filepath.Dir(target) && digits.MatchString(filepath.Base(target)) &&
		digits.ReplaceAllString(filepath.Base(path), "0") == digits.ReplaceAllString(filepath.Base(target), "0")
}

// Directory are the logs in a directory and those below it, sorted by name: files that are
// plain or packed with gzip or zstd, hold something, and of which those of a known format
// stay. What is no log (an error log, a database) is left out without a word.
func Directory(path string) (logs []string, err error) {
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return pathError(name, err)
		}
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
			return nil
		}
		s, err := openSource(0, Input{Path: name}, &Options{})
		if err != nil {
			return nil
		}
		s.in.close()
		if s.stats.Format != accesslog.Auto {
			logs = append(logs, name)
		}
		return nil
	})
	return logs, err
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
