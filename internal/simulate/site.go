package simulate

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// Resource is something that a site answers with. What an answer weighs and costs
// comes from here.
type Resource struct {
	Method  string // that it is asked with; "GET" also stands for HEAD
	Path    string
	Status  int           // of the answer, where the application keeps up
	Size    int           // bytes of the body, compressed with gzip where Text
	Text    bool          // compresses: larger without an Accept-Encoding
	Service time.Duration // the application's mean time on it; 0: nginx serves the file itself
	Kept    bool          // visitors keep a copy and ask whether it still holds: 304

	query  func(r *rand.Rand) string // makes a query, nil for none
	assets []*Resource               // that this page alone has
}

// Site is one site as the traffic model knows it: what it has, and who comes.
type Site struct {
	Name    string
	Theme   string
	Workers int           // requests that the application works on at once
	Queue   int           // requests that may wait
	Timeout time.Duration // after which nginx gives up on the application

	rate       float64 // requests/s, mean over the day
	cookies    bool    // it sets one
	pages      []*Resource
	popularity table
	shared     []*Resource // assets of every page
	actions    []*Resource // what people do besides reading: search, next page, post
	feeds      []*Resource
	tools      []*Resource // what package managers, Git and API clients ask for
	robots     *Resource
	missing    *Resource // the answer for everything that there is not
	known      map[string]*Resource

	// What scenes change under way.
	change  func(x *Resource) *Resource // nil: nothing is wrong
	reloads int                         // how much more often visitors try again
	lost    float64                     // the share of requests that never reach it
	moved   map[*Resource]string        // pages that have moved, with their old paths
}

// theme is what sites of a kind have in common.
type theme struct {
	workers int
	cookies bool
	build   func(b *builder)
	// Shares of the site's requests by who sends them; people take what is left.
	feeds, monitors, crawlers, scripts, scanners, clients float64
	// client makes a visit of the theme's own tools.
	client clientMaker
	// period is how often one of these comes; 0 where they come at random.
	period time.Duration
}

// themes is read only.
var themes = map[string]theme{
	"website": {workers: 4, cookies: true, build: buildWebsite, client: apiVisit, period: 5 * time.Minute,
		feeds: .03, monitors: .02, crawlers: .09, scripts: .02, scanners: .04, clients: .03},
	"magazine": {workers: 6, cookies: true, build: buildMagazine, client: apiVisit, period: 5 * time.Minute,
		feeds: .06, monitors: .01, crawlers: .13, scripts: .03, scanners: .06, clients: .01},
	"wiki": {workers: 5, cookies: true, build: buildWiki, client: apiVisit, period: 7 * time.Minute,
		feeds: .01, monitors: .02, crawlers: .18, scripts: .04, scanners: .03, clients: .04},
	"shop": {workers: 6, cookies: true, build: buildShop, client: apiVisit, period: 2 * time.Minute,
		feeds: .01, monitors: .02, crawlers: .10, scripts: .02, scanners: .03, clients: .05},
	"forum": {workers: 5, cookies: true, build: buildForum, client: apiVisit, period: 10 * time.Minute,
		feeds: .05, monitors: .02, crawlers: .14, scripts: .02, scanners: .03, clients: .02},
	"council": {workers: 5, cookies: true, build: buildCouncil, client: apiVisit, period: 15 * time.Minute,
		feeds: .02, monitors: .03, crawlers: .15, scripts: .02, scanners: .05, clients: .03},
	"board": {workers: 4, cookies: true, build: buildBoard, client: apiVisit, period: 3 * time.Minute,
		feeds: .02, monitors: .01, crawlers: .20, scripts: .03, scanners: .05, clients: .01},
	"forge": {workers: 6, cookies: true, build: buildForge, client: gitVisit,
		feeds: .02, monitors: .02, crawlers: .12, scripts: .02, scanners: .02, clients: .42},
	"packages": {workers: 4, cookies: false, build: buildPackages, client: packageVisit,
		feeds: .0, monitors: .03, crawlers: .05, scripts: .03, scanners: .03, clients: .80},
}

func newSite(c *SiteConfig, seed uint64, scale float64) *Site {
	t := themes[c.Theme]
	s := &Site{
		Name: c.Name, Theme: c.Theme, Workers: c.Workers, Queue: c.Queue, Timeout: c.Timeout,
		rate: c.Rate * scale, cookies: t.cookies, known: map[string]*Resource{},
	}
	if s.Workers == 0 {
		s.Workers = t.workers
	}
	if s.Queue == 0 {
		s.Queue = 400
	}
	if s.Timeout == 0 {
		s.Timeout = time.Minute
	}
	s.Workers = max(s.Workers, int(math.Ceil(float64(s.Workers)*scale)))
	b := &builder{site: s, r: stream(seed, label("pages"), label(c.Name))}
	s.missing = &Resource{Method: "GET", Status: 404, Size: 4200, Text: true, Service: 280 * time.Millisecond}
	s.robots = b.file("/robots.txt", 310, true)
	b.file("/favicon.ico", 1150, false)
	t.build(b)
	s.popularity = zipf(len(s.pages), 1.05, 1.5)
	return s
}

// Resource is what the site has for a method and a URI, or its answer for what it
// has not, which costs the application as much as a page: that is the attack's point.
func (s *Site) Resource(method, uri string) *Resource {
	path, _, _ := strings.Cut(uri, "?")
	if method != "GET" && method != "HEAD" {
		path = method + " " + path
	}
	if found, ok := s.known[path]; ok {
		return found
	}
	return s.missing
}

// page draws an existing page by its popularity.
func (s *Site) page(r *rand.Rand) *Resource { return s.pages[s.popularity.pick(r)] }

// uri is how one asks for a resource: its path, and a query where it takes one.
func (x *Resource) uri(r *rand.Rand) string {
	if x.query == nil {
		return x.Path
	}
	return x.Path + "?" + x.query(r)
}

// builder makes a site's resources.
type builder struct {
	site *Site
	r    *rand.Rand
}

func (b *builder) add(x *Resource) *Resource {
	key := x.Path
	if x.Method != "GET" {
		key = x.Method + " " + x.Path
	}
	if known, ok := b.site.known[key]; ok {
		return known
	}
	b.site.known[key] = x
	return x
}

// page adds a page of about the given bytes and service time, with pictures of its own.
func (b *builder) page(path string, size int, service time.Duration, pictures int) *Resource {
	x := b.add(&Resource{
		Method: "GET", Path: path, Status: 200, Text: true,
		Size:    int(logNormal(b.r, float64(size), .5)),
		Service: time.Duration(logNormal(b.r, float64(service), .35)),
	})
	if len(x.assets) == 0 && pictures > 0 {
		for range b.r.IntN(pictures + 1) {
			name := "/media/" + text(b.r, hexDigits, 8) + one(b.r, []string{".jpg", ".jpg", ".webp", ".png"})
			x.assets = append(x.assets, b.file(name, int(logNormal(b.r, 45000, .9)), false))
		}
	}
	b.site.pages = append(b.site.pages, x)
	return x
}

// file adds a file that nginx serves itself.
func (b *builder) file(path string, size int, text bool) *Resource {
	return b.add(&Resource{Method: "GET", Path: path, Status: 200, Size: size, Text: text, Kept: true})
}

// call adds something that the application answers and that is no page to wander to.
func (b *builder) call(method, path string, status, size int, service time.Duration) *Resource {
	return b.add(&Resource{Method: method, Path: path, Status: status, Size: size, Text: true, Service: service})
}

// action adds something that people do, often with a query.
func (b *builder) action(x *Resource, query func(*rand.Rand) string) {
	withQuery := *x // the page itself is asked for without
	withQuery.query = query
	b.site.actions = append(b.site.actions, &withQuery)
}

func (b *builder) feed(path string) {
	x := b.call("GET", path, 200, 18000, 60*time.Millisecond)
	x.Kept = true
	b.site.feeds = append(b.site.feeds, x)
}

// assets adds what every page of the site has.
func (b *builder) assets(styles, scripts, fonts int) {
	add := func(n int, dir, ending string, size float64, text_ bool) {
		for range n {
			path := "/assets/" + dir + "/" + one(b.r, words) + "." + text(b.r, hexDigits, 8) + ending
			b.site.shared = append(b.site.shared, b.file(path, int(logNormal(b.r, size, .6)), text_))
		}
	}
	add(styles, "css", ".css", 14000, true)
	add(scripts, "js", ".js", 32000, true)
	add(fonts, "fonts", ".woff2", 24000, false)
	add(1, "img", ".svg", 3000, true)
}

// slug is a few words as they stand in a page's address.
func slug(r *rand.Rand, n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = one(r, words)
	}
	return strings.Join(parts, "-")
}

// words is what addresses and searches are made of; read only.
var words = strings.Fields(`about access account active alpine anchor annual answer april archive autumn
	backup basic beginner better binary board book branch bridge broken build button cable camera canvas
	carbon change chapter circle city clean client cloud coast code coffee colour common compact compare
	copper core corner course custom daily data debug deep default delivery desk detail device digital
	direct door double early east easy edition engine event every export fabric family fast field filter
	first fix flow forest format free fresh front garden general gentle glass global gold green group
	guide hall handle harbour heavy hidden history home house idea image import index install island
	issue item january journey kernel kit lamp large latest launch leather letter level library light
	linux list little local long machine maker manual map market master meeting member memory metal
	migrate minimal mobile model modern module monthly morning music native network night north note
	ocean office online open orange order outdoor output package panel paper parser partner patch path
	photo plan planet plugin policy portable power press print private problem process project public
	quality question quick quiet radio rain range reader ready recipe record release remote repair report
	review river road rolling room root route sample school screen script search season secure server
	service setup shadow shared shell short signal silver simple single small smart snow social soft
	solar source south spring stable standard start station stone storage store story street strong
	studio style summer support switch system table team test theme thread ticket timber tool track
	travel tree trouble tutorial update upgrade urban user valley version video view village vintage
	visit voice walk wall warm water weather web weekly welcome west white wide window winter wood wool
	work world writing yellow`)
