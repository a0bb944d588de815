package schemas

import "bytes"

// Listed is what a list says of a site that it knows.
type Listed uint8

// What lists are of.
const (
	ListedPaths   Listed = iota // see KnownPath
	ListedAgents                // see KnownAgent
	ListedQueries               // keys of queries, see KnownQuery
	NumListed
)

var listedNames = [NumListed]string{"paths", "agents", "query keys"}

// String is what the list is of, for people.
func (l Listed) String() string { return listedNames[l] }

// listedTraits are the traits that a list says the values of.
var listedTraits = [NumListed]Trait{TraitPathKnown, TraitAgentKnown, TraitQueryKnown}

// Trait is the trait that the list says the values of.
func (l Listed) Trait() Trait { return listedTraits[l] }

// ListedOf is what the list must be of that says a trait's values; ok is false for a trait that the
// request alone tells.
func ListedOf(t Trait) (of Listed, ok bool) {
	for l, trait := range listedTraits {
		if trait == t {
			return Listed(l), true
		}
	}
	return 0, false
}

// Asks reports whether a signature is about what a list tells.
func (s Signature) Asks(of Listed) bool {
	for _, t := range s {
		if t.Trait == of.Trait() {
			return true
		}
	}
	return false
}

// Bounds of the lists of agents and query keys.
const (
	MaxSiteAgents     = 8192 // forms of agents: versions left out
	MaxSiteAgentBytes = 1 << 20
	MaxSiteQueries    = 4096
)

// Bounds are how many entries a site's list has at most, and of how many bytes with two more for each.
func (l Listed) Bounds() (entries, text int) {
	switch l {
	case ListedAgents:
		return MaxSiteAgents, MaxSiteAgentBytes
	case ListedQueries:
		return MaxSiteQueries, MaxSiteQueries * (MaxKnownQuery + 2)
	}
	return MaxSitePaths, MaxSitePathBytes
}

// Key appends what an entry of the list is known by. ok is false where it is neither known nor unknown; dst
// is then returned as it was. A key's key is itself.
func (l Listed) Key(dst, text []byte) (key []byte, ok bool) {
	switch l {
	case ListedAgents:
		return KnownAgent(dst, text)
	case ListedQueries:
		return KnownQuery(dst, text)
	}
	return KnownPath(dst, text)
}

// Bounds of what agents are known by.
const (
	MaxKnownAgent    = 228 // bytes of a form
	MaxAgentText     = 320 // bytes of an agent, as sent
	MaxAgentVersions = 20  // that a form leaves out
)

// KnownAgent appends what an agent is known by: its form, which is itself without its versions (runs of digits,
// also joined by single dots and low lines) and with A to Z in lower case. So a browser's next version is known
// before it has come, and most telephones of a make are. ok is false where an agent is neither known nor unknown:
// none, longer than the bounds, with more versions, or with anything but printable ASCII. nginx: one pattern that
// captures what stands between the versions.
func KnownAgent(dst, agent []byte) (form []byte, ok bool) {
	start, versions := len(dst), 0
	if len(agent) > MaxAgentText {
		return dst, false
	}
	for i := 0; i < len(agent); {
		c := agent[i]
		if isDigit(c) {
			if versions++; versions > MaxAgentVersions {
				return dst[:start], false
			}
			i = versionEnd(agent, i)
			continue
		}
		if c < ' ' || c > '~' {
			return dst[:start], false
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
		i++
	}
	n := len(dst) - start
	if n == 0 || n > MaxKnownAgent || n == 1 && dst[start] == '-' {
		return dst[:start], false
	}
	return dst, true
}

// versionEnd is where the version ends that begins at i.
func versionEnd(agent []byte, i int) int {
	for {
		for i < len(agent) && isDigit(agent[i]) {
			i++
		}
		if i+1 >= len(agent) || agent[i] != '.' && agent[i] != '_' || !isDigit(agent[i+1]) {
			return i
		}
		i++
	}
}

// Bounds of what is known or unknown by its query.
const (
	MaxKnownQuery = 36   // bytes of a key
	MaxQueryText  = 1024 // bytes of a request's path, and of its query
)

// KnownQuery appends what a query's key is known by: itself with A to Z in lower case. ok is false where it is
// neither known nor unknown: empty, longer than MaxKnownQuery, or with a byte that QueryKeys does not show.
func KnownQuery(dst, key []byte) (known []byte, ok bool) {
	if len(key) == 0 || len(key) > MaxKnownQuery || !plainKey(key) {
		return dst, false
	}
	for _, c := range key {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst, true
}

// NextQueryKey is the first key of a query, and the rest of the query after its pair. Of a request the first
// MaxQueryKeys are known or unknown; an empty one says nothing.
func NextQueryKey(query []byte) (key, rest []byte) {
	pair, rest, _ := bytes.Cut(query, []byte{'&'})
	key, _, _ = bytes.Cut(pair, []byte{'='})
	return key, rest
}

// KnownSet are the entries of a site's list.
type KnownSet map[string]struct{}

// Set are the entries of a list.
func (s *SiteList) Set() KnownSet {
	set := make(KnownSet, len(s.Entries))
	for _, entry := range s.Entries {
		set[entry] = struct{}{}
	}
	return set
}

// Value is what a list says of a request: PathKnown, PathUnknown, or "" where the request is neither, as it is
// where the list is empty. scratch is memory to work in, returned for the next call.
func (l Listed) Value(set KnownSet, r *Request, scratch []byte) (value string, _ []byte) {
	switch {
	case len(set) == 0 || l == ListedAgents && !r.Fields.Has(FieldUserAgent):
		return "", scratch
	case l == ListedQueries:
		return set.ofQuery(r, scratch)
	case l == ListedAgents:
		return set.of(l, r.UserAgent, scratch)
	}
	if value, scratch = set.of(l, r.Path, scratch); value == PathUnknown && AssetPath(r.Path) {
		value = PathKnown
	}
	return value, scratch
}

func (s KnownSet) of(l Listed, text, scratch []byte) (value string, _ []byte) {
	key, ok := l.Key(scratch[:0], text)
	if !ok {
		return "", key
	}
	if _, found := s[string(key)]; found {
		return PathKnown, key
	}
	return PathUnknown, key
}

// ofQuery is what is said of a request's query: that of an asset is of the page that brings it, and says
// nothing of who asks.
func (s KnownSet) ofQuery(r *Request, scratch []byte) (value string, _ []byte) {
	value = PathKnown
	switch {
	case !QueryListed(r):
		return "", scratch
	case AssetPath(r.Path):
		return value, scratch
	}
	for n, rest := 0, r.Query; n < MaxQueryKeys && len(rest) > 0; n++ {
		var key []byte
		if key, rest = NextQueryKey(rest); len(key) == 0 {
			continue
		}
		one, key := s.of(ListedQueries, key, scratch)
		switch scratch = key; one {
		case "":
			return "", scratch
		case PathUnknown:
			value = one
		}
	}
	return value, scratch
}

// QueryListed reports whether a request is short enough to be known or unknown by its query: what is longer
// is cut in a log.
func QueryListed(r *Request) bool {
	return len(r.Path) > 0 && len(r.Path) <= MaxQueryText && len(r.Query) <= MaxQueryText
}

// LinkKeys are keys that links from elsewhere bring, whatever the site: of campaigns, and the click ids of
// advertisements and mails. They count as known wherever there is a list: who follows the first newsletter of a
// site is no stranger for that. By KnownQuery, ascending.
var LinkKeys = [...]string{
	"_branch_match_id", "_ga", "_gl", "_hsenc", "_hsmi", "_ke", "_kx", "_openstat", "amp", "campaign", "campaign_id",
	"campaignid", "ck_subscriber_id", "cmpid", "dclid", "dm_i", "ef_id", "epik", "fb_action_ids", "fb_action_types",
	"fb_source", "fbclid", "gad_campaignid", "gad_source", "gbraid", "gclid", "gclsrc", "hsa_acc", "hsa_ad", "hsa_cam",
	"hsa_grp", "hsa_kw", "hsa_mt", "hsa_net", "hsa_src", "hsa_tgt", "hsa_ver", "hsctatracking", "icid", "igsh", "igshid",
	"irclickid", "li_fat_id", "mc_cid", "mc_eid", "mkt_tok", "msclkid", "mtm_campaign", "mtm_cid", "mtm_content",
	"mtm_group", "mtm_keyword", "mtm_medium", "mtm_placement", "mtm_source", "ns_campaign", "ns_mchannel", "ns_source",
	"oly_anon_id", "oly_enc_id", "pk_campaign", "pk_content", "pk_keyword", "pk_kwd", "pk_medium", "pk_source", "rdt_cid",
	"ref", "ref_src", "ref_url", "referrer", "s_cid", "s_kwcid", "sc_campaign", "sc_channel", "sc_content", "sc_medium",
	"sccid", "share", "si", "source", "spm", "srsltid", "trk", "ttclid", "twclid", "utm_brand", "utm_campaign",
	"utm_campaign_id", "utm_cid", "utm_content", "utm_creative_format", "utm_id", "utm_keyword", "utm_marketing_tactic",
	"utm_medium", "utm_name", "utm_place", "utm_pubreferrer", "utm_reader", "utm_referrer", "utm_social",
	"utm_social-type", "utm_source", "utm_source_platform", "utm_swu", "utm_term", "utm_viz_id", "vero_conv", "vero_id",
	"wbraid", "wickedid", "wickedsource", "wt.mc_id", "yclid", "ysclid",
}
