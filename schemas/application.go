package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Bounds of the applications that one edge tells of.
const (
	MaxApplications = 1024      // sites
	maxApplication  = 64        // bytes of an application's name
	maxToldBytes    = 384 << 10 // of all sites' names
)

// SubjectApplicationsAll are the lists of applications of all edges.
const SubjectApplicationsAll = "weir.edges.applications.>"

// SubjectApplications is where an edge says which applications it has recognised, as JSON of
// Applications: the newest message counts, and is all that is kept.
func SubjectApplications(edge string) string { return "weir.edges.applications." + edge }

// Applications are what the sites of an edge look like, by the requests that they served.
type Applications struct {
	Time  time.Time         `json:"time"`
	Edge  string            `json:"edge"`
	Sites map[string]string `json:"sites"` // a profile's name by the site's
}

// EncodeApplications makes the message. Sites whose names no host has are left out, and
// those that there is no room for, from the last one on.
func EncodeApplications(a *Applications) ([]byte, error) {
	told := Applications{Time: a.Time, Edge: a.Edge, Sites: make(map[string]string, len(a.Sites))}
	bytes := 0
	for _, site := range sortedSites(a.Sites) {
		if bytes += len(site); len(told.Sites) == MaxApplications || bytes > maxToldBytes {
			break
		}
		if plainSite(site) {
			told.Sites[site] = a.Sites[site]
		}
	}
	message, err := json.Marshal(told)
	if err != nil {
		return nil, err
	}
	_, err = DecodeApplications(message)
	return message, err
}

func sortedSites(sites map[string]string) []string {
	names := make([]string, 0, len(sites))
	for name := range sites {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// plainSite reports whether a site's name is one that stands in JSON as it is.
func plainSite(name string) bool {
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return name != "" && len(name) <= MaxSite
}

// DecodeApplications reads a message, whatever it holds. That there are such applications
// is the reader's to see.
func DecodeApplications(message []byte) (*Applications, error) {
	if len(message) > MaxMessage {
		return nil, fmt.Errorf("an edge's applications: %d bytes, at most %d", len(message), MaxMessage)
	}
	a := new(Applications)
	if err := json.Unmarshal(message, a); err != nil {
		return nil, fmt.Errorf("an edge's applications: %w", err)
	}
	switch {
	case a.Edge == "" || len(a.Edge) > MaxSite:
		return nil, errors.New("an edge's applications: no edge's name")
	case a.Time.Year() < 2000 || a.Time.Year() > 2200:
		return nil, errors.New("an edge's applications: no time")
	case len(a.Sites) > MaxApplications:
		return nil, fmt.Errorf("an edge's applications: %d sites, at most %d", len(a.Sites), MaxApplications)
	}
	for site, name := range a.Sites {
		if !plainSite(site) || name == "" || len(name) > maxApplication {
			return nil, fmt.Errorf("an edge's applications: the site %.80q is %.80q", site, name)
		}
	}
	return a, nil
}
