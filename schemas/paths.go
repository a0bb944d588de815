package schemas

// Values of TraitPathKnown, TraitAgentKnown and TraitQueryKnown: whether the site is known to have the path,
// to be visited with the agent, to be asked with every key of the query.
const (
	PathKnown   = "yes"
	PathUnknown = "no"
)

// Bounds of a site's list of known paths.
const (
	MaxKnownPath     = 228       // bytes of one
	MaxSitePaths     = 50_000    // of one site
	MaxSitePathBytes = 1_500_000 // of one site, with two more for each path
)

// KnownPath appends what a path (without its query, as sent) is known by: itself with A
// to Z in lower case, because nginx's maps tell no case. ok is false where a path is
// neither known nor unknown: not from the root, longer than MaxKnownPath, or with a space
// or a control character. dst may be path[:0].
func KnownPath(dst, path []byte) (key []byte, ok bool) {
	if len(path) == 0 || len(path) > MaxKnownPath || path[0] != '/' {
		return dst, false
	}
	start := len(dst)
	for _, c := range path {
		switch {
		case c <= ' ' || c == 0x7F || c == '?':
			return dst[:start], false
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst, true
}

// AssetEndings are the extensions of what a page brings with it, in lower case. A path that
// ends in one counts as known wherever there is a list: a page that nobody has seen
// brings some.
var AssetEndings = [...]string{
	"css", "js", "mjs", "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico", "woff", "woff2", "ttf", "map",
}

// AssetPath reports whether a path ends in one of AssetEndings, in upper or lower case.
func AssetPath(path []byte) bool {
	dot := len(path) - 1
	for dot >= 0 && path[dot] != '.' {
		if dot--; len(path)-dot > 6 {
			return false
		}
	}
	if dot < 0 {
		return false
	}
	var lower [5]byte
	ending := lower[:copy(lower[:], path[dot+1:])]
	for i, c := range ending {
		if c >= 'A' && c <= 'Z' {
			ending[i] = c | 0x20
		}
	}
	switch string(ending) { // AssetEndings
	case "css", "js", "mjs", "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico", "woff", "woff2", "ttf", "map":
		return true
	}
	return false
}
