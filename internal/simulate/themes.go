package simulate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

const ms = time.Millisecond

func searchQuery(r *rand.Rand) string {
	q := "q=" + one(r, words)
	for range r.IntN(3) {
		q += "+" + one(r, words)
	}
	return q
}

func pageQuery(r *rand.Rand) string { return fmt.Sprintf("page=%d", geometric(r, 3, 40)) }

// buildWebsite is a team's main site on a content management system without a
// page cache: a page costs the application a third of a second.
func buildWebsite(b *builder) {
	b.assets(3, 4, 2)
	b.page("/", 12000, 300*ms, 8)
	for _, p := range []string{"/about", "/contact", "/download", "/news", "/blog", "/events", "/docs", "/team", "/donate", "/imprint"} {
		b.page(p, 9000, 300*ms, 4)
	}
	for range 150 {
		b.page(fmt.Sprintf("/blog/%d/%s", 2016+b.r.IntN(11), slug(b.r, 2+b.r.IntN(3))), 11000, 320*ms, 5)
	}
	for range 60 {
		b.page(fmt.Sprintf("/news/%s", slug(b.r, 2+b.r.IntN(3))), 9000, 320*ms, 3)
	}
	for range 140 {
		b.page("/docs/"+one(b.r, words)+"/"+slug(b.r, 1+b.r.IntN(2)), 14000, 320*ms, 2)
	}
	for range 30 {
		b.page("/events/"+slug(b.r, 2)+fmt.Sprintf("-%d", 2018+b.r.IntN(9)), 8000, 320*ms, 3)
	}
	for range 25 {
		b.page("/"+slug(b.r, 1+b.r.IntN(2)), 9000, 300*ms, 4)
	}
	b.action(b.page("/search", 8000, 450*ms, 0), searchQuery)
	b.action(b.page("/archive", 8000, 350*ms, 0), pageQuery)
	b.action(b.call("POST", "/contact", 303, 0, 200*ms), nil)
	b.action(b.call("POST", "/newsletter/subscribe", 303, 0, 120*ms), nil)
	b.feed("/feed.xml")
	b.feed("/blog/atom.xml")
	b.api("/api/v1/status", "/api/v1/events", "/api/v1/releases/latest")
}

func buildShop(b *builder) {
	b.assets(3, 7, 3)
	b.page("/", 15000, 220*ms, 10)
	categories := make([]string, 24)
	for i := range categories {
		categories[i] = "/category/" + slug(b.r, 1)
		b.action(b.page(categories[i], 16000, 260*ms, 8), func(r *rand.Rand) string {
			return one(r, []string{"", "sort=price&"}) + pageQuery(r)
		})
	}
	for range 900 {
		b.page(fmt.Sprintf("/product/%s-%d", slug(b.r, 2+b.r.IntN(2)), 1000+b.r.IntN(9000)), 13000, 230*ms, 6)
	}
	for _, p := range []string{"/cart", "/account", "/help/shipping", "/help/returns", "/imprint", "/terms"} {
		b.page(p, 7000, 180*ms, 0)
	}
	for range 8 {
		b.action(b.call("POST", "/cart/add", 303, 0, 90*ms), nil)
	}
	b.action(b.call("POST", "/checkout", 303, 0, 400*ms), nil)
	b.action(b.page("/search", 12000, 350*ms, 2), searchQuery)
	b.feed("/feed/new.xml")
	b.api("/api/orders", "/api/stock", "/api/products")
	b.post("/webhooks/payment", "/webhooks/shipping")
}

func buildForum(b *builder) {
	b.assets(2, 6, 2)
	for _, p := range []string{"/", "/latest", "/categories", "/top", "/faq", "/login"} {
		b.page(p, 14000, 180*ms, 2)
	}
	for range 1500 {
		x := b.page(fmt.Sprintf("/t/%s/%d", slug(b.r, 2+b.r.IntN(4)), 100+b.r.IntN(40000)), 16000, 200*ms, 2)
		if chance(b.r, .1) {
			b.action(x, pageQuery)
		}
	}
	for range 20 {
		b.page(fmt.Sprintf("/c/%s/%d", one(b.r, words), 1+b.r.IntN(60)), 14000, 200*ms, 0)
	}
	for range 200 {
		b.page("/u/"+one(b.r, words)+fmt.Sprint(b.r.IntN(100)), 6000, 120*ms, 1)
	}
	for range 40 {
		b.action(b.call("POST", "/posts", 200, 1200, 250*ms), nil)
	}
	b.action(b.page("/search", 9000, 350*ms, 0), searchQuery)
	b.feed("/latest.rss")
	b.feed("/posts.rss")
	b.api("/api/latest.json", "/api/notifications")
}

func buildForge(b *builder) {
	b.assets(2, 5, 1)
	b.page("/", 9000, 150*ms, 2)
	b.page("/explore/repos", 10000, 250*ms, 0)
	for range 60 {
		repository := "/" + one(b.r, words) + "/" + slug(b.r, 1+b.r.IntN(2))
		b.page(repository, 13000, 280*ms, 2)
		for _, p := range []string{"/issues", "/pulls", "/commits/branch/main", "/releases", "/wiki"} {
			b.page(repository+p, 12000, 280*ms, 0)
		}
		for range 12 {
			b.page(fmt.Sprintf("%s/issues/%d", repository, 1+b.r.IntN(900)), 11000, 230*ms, 1)
			b.page(repository+"/commit/"+text(b.r, hexDigits, 40), 10000, 350*ms, 0)
			b.page(repository+"/src/branch/main/"+one(b.r, words)+one(b.r, []string{".go", ".c", ".md", ".py", ".yml"}), 12000, 300*ms, 0)
		}
		b.feed(repository + ".rss")
		refs := b.call("GET", repository+".git/info/refs", 200, 900, 80*ms)
		refs.query = func(*rand.Rand) string { return "service=git-upload-pack" }
		pack := b.call("POST", repository+".git/git-upload-pack", 200, int(logNormal(b.r, 60000, 1.6)), 300*ms)
		pack.Text = false
		b.site.tools = append(b.site.tools, refs, pack)
	}
	b.action(b.page("/search", 9000, 400*ms, 0), searchQuery)
	b.action(b.call("POST", "/login", 303, 0, 250*ms), nil)
	b.call("POST", "/api/actions/jobs/request", 204, 0, 15*ms)
	b.call("GET", "/api/v1/version", 200, 60, 10*ms)
}

func buildPackages(b *builder) {
	b.assets(1, 1, 0)
	b.page("/", 4000, 20*ms, 1)
	b.page("/help", 5000, 20*ms, 0)
	for _, suite := range []string{"stable", "testing"} {
		b.page("/debian/dists/"+suite+"/", 3000, 20*ms, 0)
		release := b.file("/debian/dists/"+suite+"/InRelease", 24000, false)
		index := b.file("/debian/dists/"+suite+"/main/binary-amd64/Packages.xz", 340000, false)
		b.site.tools = append(b.site.tools, release, index)
	}
	for range 300 {
		name := slug(b.r, 1+b.r.IntN(2))
		b.page("/package/"+name, 5000, 30*ms, 0)
		file := fmt.Sprintf("/debian/pool/main/%s/%s/%s_%d.%d-1_amd64.deb", name[:1], name, name, b.r.IntN(9), b.r.IntN(30))
		b.site.tools = append(b.site.tools, b.file(file, int(logNormal(b.r, 180000, 1.4)), false))
	}
	b.action(b.page("/search", 6000, 60*ms, 0), searchQuery)
	// A directory of files: what there is not, nginx itself says.
	b.site.missing = &Resource{Method: "GET", Status: 404, Size: 153, Text: true}
}

// api adds calls that programs poll.
func (b *builder) api(paths ...string) {
	for _, p := range paths {
		x := b.call("GET", p, 200, 1400, 40*ms)
		b.site.tools = append(b.site.tools, x)
	}
}

// post adds calls that other services make.
func (b *builder) post(paths ...string) {
	for _, p := range paths {
		b.site.tools = append(b.site.tools, b.call("POST", p, 200, 15, 60*ms))
	}
}

// buildMagazine is a magazine with a page a story, comments and a paging archive.
func buildMagazine(b *builder) {
	b.assets(2, 6, 3)
	b.page("/", 22000, 240*ms, 14)
	for _, p := range []string{"/impressum/", "/abo/", "/kontakt/", "/autoren/", "/podcast/", "/termine/"} {
		b.page(p, 8000, 200*ms, 2)
	}
	for range 12 {
		section := "/" + one(b.r, words) + "/"
		b.action(b.page(section, 18000, 260*ms, 9), func(r *rand.Rand) string { return fmt.Sprintf("seite=%d", geometric(r, 3, 30)) })
		for range 45 {
			b.page(fmt.Sprintf("%s%d/%02d/%s-a%06d", section, 2020+b.r.IntN(7), 1+b.r.IntN(12), slug(b.r, 3+b.r.IntN(3)), b.r.IntN(1000000)), 15000, 240*ms, 6)
		}
	}
	b.action(b.page("/search", 9000, 420*ms, 0), searchQuery)
	b.action(b.call("POST", "/kommentar", 303, 0, 180*ms), nil)
	b.action(b.call("POST", "/login", 303, 0, 150*ms), nil)
	b.feed("/rss/alles.xml")
	b.feed("/rss/top.xml")
	b.api("/api/ticker", "/api/comments/count")
}

// buildWiki is a wiki: titles in mixed case, actions by query.
func buildWiki(b *builder) {
	b.assets(4, 3, 0)
	title := func() string {
		name := slug(b.r, 1+b.r.IntN(3))
		return strings.ToUpper(name[:1]) + strings.ReplaceAll(name[1:], "-", "_")
	}
	b.page("/wiki/Main_Page", 14000, 160*ms, 4)
	for range 1100 {
		x := b.page("/wiki/"+title(), 17000, 190*ms, 3)
		if chance(b.r, .06) {
			b.action(x, func(r *rand.Rand) string { return "action=" + one(r, []string{"history", "edit", "raw"}) })
		}
	}
	for range 120 {
		b.page("/wiki/Talk:"+title(), 9000, 170*ms, 0)
	}
	b.page("/wiki/Special:RecentChanges", 15000, 300*ms, 0)
	b.action(b.page("/search", 9000, 380*ms, 0), searchQuery)
	b.action(b.page("/index.php", 12000, 260*ms, 0), func(r *rand.Rand) string {
		return "title=" + one(r, words) + "&oldid=" + text(r, digits, 5)
	})
	for range 30 {
		b.action(b.call("POST", "/index.php", 303, 0, 240*ms), func(r *rand.Rand) string { return "title=" + one(r, words) + "&action=submit" })
	}
	b.feed("/feed/changes.atom")
	b.api("/api.php", "/rest/v1/summary")
}
