package simulate

import "time"

// silentScenarios are attacks that no log shows but by what is missing in it; an edge's vitals do,
// see Gauge.
func silentScenarios() []Scenario {
	silent := func(name, says string, lost float64, from time.Duration, brings func(s *plot, since time.Duration) beneath) Scenario {
		return Scenario{Name: name, Says: says, Silent: true, role: "main", span: 10 * time.Minute, build: func(_ *Params, s *plot) {
			s.beneath = func(since time.Duration) beneath {
				if since < 0 || since > s.span {
					return beneath{}
				}
				return brings(s, since)
			}
			s.add(func(st *stage) []source {
				return []source{
					&happening{at: st.begin + from, site: st.site, do: func() { st.site.lost = lost }},
					&happening{at: st.end, site: st.site, do: func() { st.site.lost = 0 }},
				}
			})
		}}
	}
	return []Scenario{
		silent("slowloris", "connections that never become requests, until nginx has no place left", .9, 45*time.Second, func(s *plot, _ time.Duration) beneath {
			return beneath{opened: 30 * s.strength}
		}),
		silent("synflood", "half-open connections", .5, time.Second, func(s *plot, _ time.Duration) beneath {
			return beneath{cookies: 4000 * s.strength, refused: 100 * s.strength}
		}),
		silent("packets", "packets that fill the line", .85, time.Second, func(s *plot, _ time.Duration) beneath {
			return beneath{packets: 60000 * s.strength}
		}),
	}
}
