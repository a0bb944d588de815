package processor

import "bytes"

// holeSegments are how parts of a path begin that scanners try, in lower case: files that a
// server must not give away, and doors of applications whose holes are known.
var holeSegments = [...]string{
	"wp-", "cgi-bin", "phpmyadmin", "pma", "admin", "actuator", "boaform", "backup", "server-status", "solr", "shell",
	"owa", "hnap1", "phpunit", "eval-stdin", "jenkins", "manager", "console", "config", "telescope", "geoserver", "autodiscover",
}

// holeEnds are how such paths end.
var holeEnds = [...]string{
	".php", ".asp", ".aspx", ".jsp", ".cgi", ".sql", ".bak", ".old", ".env", ".ini", ".action", ".zip", ".gz", ".log",
}

// holePath is how many bytes of a path are looked at.
const holePath = 128

// holesBy are holeSegments by the letter that they begin with.
var holesBy = func() (by [256][]string) {
	for _, s := range holeSegments {
		by[s[0]] = append(by[s[0]], s)
	}
	return by
}()

// hole reports whether a path that a site does not have is one that scanners try.
func hole(path []byte) bool {
	path = path[:min(len(path), holePath)]
	return holeEnd(path) || holeSegment(path)
}

func holeEnd(path []byte) bool {
	const longest = 7
	dot := bytes.LastIndexByte(path[max(0, len(path)-longest):], '.')
	if dot < 0 {
		return false
	}
	end := path[max(0, len(path)-longest)+dot:]
	for _, s := range holeEnds {
		if len(end) == len(s) && foldEqual(end, s) {
			return true
		}
	}
	return false
}

func holeSegment(path []byte) bool {
	for {
		i := bytes.IndexByte(path, '/')
		if i < 0 || i+1 >= len(path) {
			return false
		}
		path = path[i+1:]
		first := lower(path[0])
		if first == '.' {
			return !bytes.HasPrefix(path, []byte(".well-known/"))
		}
		for _, s := range holesBy[first] {
			if len(path) >= len(s) && foldEqual(path[:len(s)], s) {
				return true
			}
		}
	}
}

// foldEqual reports whether text is s, which is in lower case, in any case.
func foldEqual(text []byte, s string) bool {
	for i := range text {
		if lower(text[i]) != s[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
