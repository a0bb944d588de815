package profile

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// layouts are requests as they stand in logs of each application, with what they are.
var layouts = map[string]string{
	"wordpress": `
		page /  /2025/11/a-post/  /about/  /category/news/page/2/  /?p=123  /index.php  /author/jo/
		asset /wp-content/themes/twentytwentyfour/style.css?ver=1.0  /wp-includes/js/jquery/jquery.min.js?ver=3.7.1  /wp-content/uploads/2025/11/photo-1024x683.jpg  /wp-includes/css/dist/block-library/style.min.css  /wp-content/plugins/contact-form-7/includes/js/index.js  /wp-content/uploads/report.pdf  /favicon.ico  /apple-touch-icon.png
		machine /feed/  /feed  /comments/feed/  /2025/11/a-post/feed/  /?feed=rss2  /category/news/feed/  /wp-json/wp/v2/posts?per_page=5  /wp-json/oembed/1.0/embed?url=x  /wp-cron.php?doing_wp_cron=1  /robots.txt  /wp-sitemap-posts-post-1.xml  /sitemap_index.xml  /post-sitemap.xml  /.well-known/acme-challenge/x  /2025/11/a-post/trackback/
		dear /?s=cheap+shoes  /wp-login.php  /xmlrpc.php  /wp-admin/admin-ajax.php  /wp-admin/post.php?post=1&action=edit  /wp-comments-post.php  /search/hello`,
	"woocommerce": `
		page /  /product/blue-shirt/  /product-category/shirts/  /shop/page/2/
		asset /wp-content/plugins/woocommerce/assets/css/woocommerce.css?ver=9.0  /wp-content/uploads/2025/11/shirt-300x300.jpg
		machine /wc-api/WC_Gateway_Paypal/  /?wc-api=wc_stripe  /wp-json/wc/v3/orders  /feed/  /wp-json/wc/v2/products  /robots.txt
		dear /?wc-ajax=get_refreshed_fragments  /product/blue-shirt/?add-to-cart=12  /shop/?orderby=price&paged=3  /product-category/shirts/?min_price=1  /cart/  /checkout/  /checkout/order-received/12/  /my-account/  /wp-json/wc/store/v1/cart  /wp-login.php`,
	"discourse": `
		page /  /t/welcome-to-our-forum/7  /t/welcome/7/23  /c/support/6  /latest  /u/jo  /top?period=weekly  /t/7.json  /latest.json?page=2
		asset /assets/start-discourse-a1b2.br.js  /stylesheets/desktop_1_a1b2.css?__ws=x  /theme-javascripts/a1b2.js  /letter_avatar_proxy/v4/letter/j/ba9def/48.png  /user_avatar/forum.example.org/jo/48/12_2.png  /message-bus/a1b2/poll  /svg-sprite/forum.example.org/svg-1-a1.js  /uploads/default/original/1X/a1.png  /extra-locales/mf?locale=en  /topics/timings  /service-worker.js
		machine /latest.rss  /c/support/6.rss  /t/welcome/7.rss  /posts.rss  /srv/status  /webhooks/mailgun  /chat/hooks/a1b2  /admin/email/handle_mail  /sitemap_1.xml  /robots.txt  /auth/github/callback
		dear /search?q=help  /search/query?term=help  /session  /session/csrf  /login  /u/jo/summary.json  /directory_items.json?period=weekly`,
	"mattermost": `
		page /  /team/channels/town-square  /admin_console  /team/pl/a1b2
		asset /static/main.a1b2.js  /static/images/icon.png  /api/v4/users/a1b2/image?_=0  /api/v4/emoji/a1/image  /api/v4/files/a1/thumbnail  /api/v4/files/a1/preview
		machine /hooks/a1b2c3  /plugins/github/webhook  /api/v4/system/ping  /api/v4/websocket  /api/v4/users/me  /api/v4/channels/members/me/view  /api/v4/posts  /oauth/access_token  /api/v4/config/client?format=old
		dear /api/v4/users/login  /api/v4/teams/a1/posts/search  /api/v4/users/search  /login  /api/v4/files`,
	"gitlab": `
		page /  /group/project  /group/project/-/issues  /group/project/-/issues/12  /group/project/-/merge_requests/3  /dashboard/projects
		asset /assets/webpack/main.a1.chunk.js  /assets/application-a1.css  /uploads/-/system/user/avatar/1/avatar.png  /-/manifest.json  /-/emojis/4/emojis.json
		machine /group/project.git/info/refs?service=git-upload-pack  /group/project.git/git-upload-pack  /group/project.git/git-receive-pack  /api/v4/jobs/request  /api/v4/projects/1/hooks  /-/health  /-/readiness  /-/liveness  /group/project/-/commits/main?format=atom  /group/project.atom  /group/project.git/info/lfs/objects/batch  /jwt/auth?service=container_registry  /v2/group/project/manifests/latest
		dear /group/sub/project/-/blame/main/README.md  /group/project/-/compare/a...b  /group/project/-/archive/main/project-main.tar.gz  /group/project/-/blob/main/a.go  /group/project/-/tree/main/docs  /group/project/-/raw/main/logo.png  /group/project/-/merge_requests/3/diffs  /search?search=x  /users/sign_in  /explore/projects  /api/v4/projects/1/search?scope=blobs  /api/graphql`,
	"forgejo": `
		page /  /jo/tool  /jo/tool/issues  /jo/tool/issues/12  /jo/tool/pulls/3  /jo/tool/releases  /jo
		asset /assets/css/index.css?v=9.0  /assets/js/index.js?v=9.0  /assets/css/theme-forgejo-auto.css  /avatars/a1b2?size=48  /repo-avatars/3-a1  /user/events  /assets/img/logo.svg
		machine /jo/tool.git/info/refs?service=git-upload-pack  /jo/tool/git-upload-pack  /jo/tool.git/git-receive-pack  /jo/tool/info/lfs/objects/batch  /api/v1/repos/jo/tool/hooks  /api/healthz  /api/actions/runner.v1.RunnerService/FetchTask  /api/packages/jo/npm/x  /v2/jo/tool/manifests/latest  /jo/tool.rss  /jo.atom  /jo/tool/releases.rss  /login/oauth/access_token  /jo/tool.git/HEAD  /jo/tool.git/objects/info/packs  /.well-known/webfinger?resource=acct:jo
		dear /jo/tool/src/branch/main/a.go  /jo/tool/src/commit/a1b2/a.go  /jo/tool/blame/branch/main/a.go  /jo/tool/commits/branch/main  /jo/tool/commit/a1b2  /jo/tool/compare/main...dev  /jo/tool/archive/main.tar.gz  /jo/tool/raw/branch/main/logo.png  /jo/tool/graph  /explore/repos?q=x  /user/login  /jo/tool/pulls/3/files`,
	"mastodon": `
		page /  /@jo  /@jo/113  /about  /home  /tags/cats
		asset /packs/js/application-a1.js  /packs/css/default-a1.css  /system/accounts/avatars/1/original/a1.png  /system/media_attachments/files/1/original/a1.jpg  /emoji/1f600.svg  /sw.js
		machine /inbox  /users/jo/inbox  /users/jo/outbox?page=true  /users/jo/statuses/113  /users/jo/statuses/113/activity  /users/jo  /users/jo/followers  /actor  /actor/inbox  /.well-known/webfinger?resource=acct:jo@example.org  /.well-known/nodeinfo  /nodeinfo/2.0  /api/v1/timelines/home  /api/v2/instance  /api/v1/streaming/health  /health  /oauth/token  /@jo.rss  /tags/cats.rss
		dear /api/v2/search?q=x  /auth/sign_in  /explore  /public/local  /media_proxy/113/original  /api/v1/timelines/public`,
	"nextcloud": `
		page /  /apps/files/  /index.php/apps/dashboard/  /s/a1b2  /index.php/s/a1b2  /settings/user
		asset /core/js/dist/main.js?v=1  /core/css/guest.css  /dist/core-main.js  /apps/files/img/app.svg  /apps/files/l10n/de.js  /custom_apps/deck/js/deck-main.js  /index.php/avatar/jo/64  /index.php/apps/theming/image/logo  /index.php/csrftoken  /js/core/merged-template-prepend.js
		machine /remote.php/dav/files/jo/  /remote.php/webdav/a.txt  /remote.php/dav/calendars/jo/personal/  /ocs/v2.php/apps/notifications/api/v2/notifications  /ocs/v1.php/cloud/user  /status.php  /cron.php  /.well-known/caldav  /index.php/login/v2/poll  /login/v2  /public.php/webdav  /index.php/204  /push/ws
		dear /index.php/core/preview?fileId=1&x=64  /core/preview.png?file=a.jpg  /login  /index.php/login  /s/a1b2/download  /ocs/v2.php/search/providers/files/search?term=x`,
	"apt": `
		page /  /debian/  /index.html
		machine /debian/dists/bookworm/InRelease  /dists/stable/Release.gpg  /debian/dists/bookworm/main/binary-amd64/by-hash/SHA256/a1b2  /debian/pool/main/w/weir/weir_1.0_amd64.deb  /pool/main/w/weir/weir_1.0.dsc  /dists/stable/main/binary-amd64/Packages.gz  /key.asc  /ubuntu/dists/noble/main/i18n/Translation-en.xz`,
	"rpm": `
		page /  /el9/
		machine /el9/x86_64/repodata/repomd.xml  /repodata/a1b2-primary.xml.gz  /el9/x86_64/Packages/w/weir-1.0-1.el9.x86_64.rpm  /el9/x86_64/repodata/a1b2-filelists.xml.zst  /RPM-GPG-KEY-weir  /weir.repo  /mirrorlist?repo=el9`,
}

func requests(layout string, each func(kind Kind, path, query string)) {
	for line := range strings.Lines(layout) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		for kind := range Kind(NumKinds) {
			if kind.String() != words[0] {
				continue
			}
			for _, target := range words[1:] {
				path, query, _ := strings.Cut(target, "?")
				each(kind, path, query)
			}
		}
	}
}

func TestKinds(t *testing.T) {
	for _, name := range Names() {
		p, err := ByName(name)
		if err != nil || p.Name() != name {
			t.Fatal(name, err)
		}
		n := 0
		requests(layouts[name], func(want Kind, path, query string) {
			n++
			if got := p.Kind([]byte(path), []byte(query)); got != want {
				t.Errorf("%s: %s?%s is %s, want %s", name, path, query, got, want)
			}
		})
		if n < 8 {
			t.Errorf("%s: only %d requests", name, n)
		}
	}
}

// Every application is recognised from its own requests, and none from those of a
// scanner, of a site of one's own, or of too few.
func TestRecognise(t *testing.T) {
	catalogue := NewCatalogue()
	for name, layout := range layouts {
		r := catalogue.Recogniser()
		for range 100 {
			requests(layout, func(_ Kind, path, query string) {
				r.Add([]byte(path), []byte(query), 200)
				r.Add([]byte("/wp-login.php"), nil, 404)
				r.Add([]byte("/wp-content/plugins/x/readme.txt"), nil, 404)
			})
		}
		if found := r.Found(); found == nil || found.Name() != name {
			t.Errorf("%s: found %v", name, found)
		}
	}
	for name, add := range map[string]func(r *Recogniser, i int){
		"a site of one's own": func(r *Recogniser, i int) { r.Add(fmt.Appendf(nil, "/news/%d", i), nil, 200) },
		"a scanner where every path is served": func(r *Recogniser, i int) {
			path := fmt.Appendf(nil, "/news/%d", i)
			if i%100 == 0 {
				path = []byte([]string{"/wp-content/themes/x", "/wp-includes/y", "/repodata/repomd.xml", "/inbox"}[i/100%4])
			}
			r.Add(path, nil, 200)
		},
		"one sign alone": func(r *Recogniser, i int) { r.Add([]byte("/wp-includes/js/x.js"), nil, 200) },
		"refused": func(r *Recogniser, i int) {
			requests(layouts["wordpress"], func(_ Kind, p, q string) { r.Add([]byte(p), []byte(q), 403) })
		},
		"nothing": func(*Recogniser, int) {},
	} {
		r := catalogue.Recogniser()
		for i := range 5000 {
			add(r, i)
		}
		if found := r.Weigh(); found != nil {
			t.Errorf("%s: found %s", name, found.Name())
		}
	}
}

// A site that becomes another is recognised anew.
func TestRecogniseAnew(t *testing.T) {
	r := NewCatalogue().Recogniser()
	for i, name := range []string{"discourse", "gitlab"} {
		for range []int{4000, 30000}[i] {
			requests(layouts[name], func(_ Kind, path, query string) { r.Add([]byte(path), []byte(query), 200) })
		}
		if found := r.Found(); found == nil || found.Name() != name {
			t.Errorf("found %v, want %s", found, name)
		}
	}
}

func TestByName(t *testing.T) {
	if _, err := ByName("drupal"); err == nil || err.Error() != `there is no profile "drupal"; want one of apt, discourse, forgejo, gitlab, mastodon, mattermost, nextcloud, rpm, woocommerce, wordpress` {
		t.Error(err)
	}
}

// slow is a profile by regular expressions, rule after rule.
type slow struct {
	*Profile
	expressions []*regexp.Regexp
}

func newSlow(p *Profile) *slow {
	s := &slow{Profile: p}
	for i := range p.rules {
		s.expressions = append(s.expressions, regexp.MustCompile("(?s)"+expression(&p.rules[i].pattern)))
	}
	return s
}

// expression is a pattern's path as a regular expression.
func expression(p *pattern) string {
	var b strings.Builder
	b.WriteByte('^')
	for _, q := range p.parts {
		b.WriteString(map[gap]string{within: "[^/]*", across: ".*"}[q.gap] + regexp.QuoteMeta(q.text))
	}
	return b.String() + "$"
}

func (s *slow) kind(path, query string) Kind {
	for i, expression := range s.expressions {
		if !expression.MatchString(path) {
			continue
		}
		r := &s.rules[i]
		if r.pattern.key == "" {
			return r.kind
		}
		for pair := range strings.SplitSeq(query, "&") {
			if key, _, _ := strings.Cut(pair, "="); key == r.pattern.key || pair == r.pattern.key && strings.Contains(pair, "=") {
				return r.kind
			}
		}
	}
	if hasAssetName([]byte(path)) {
		return Asset
	}
	return Page
}

func FuzzKind(f *testing.F) {
	catalogue := NewCatalogue()
	for _, layout := range layouts {
		requests(layout, func(_ Kind, path, query string) { f.Add(path, query) })
	}
	recogniser := catalogue.Recogniser()
	var oracles []*slow
	of := make(map[*slow][NumKinds]func(string) bool)
	for _, p := range catalogue.profiles {
		o := newSlow(p)
		oracles, of[o] = append(oracles, o), [NumKinds]func(string) bool{Machine: ruled(p, Machine), Dear: ruled(p, Dear)}
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		for _, p := range oracles {
			if got, want := p.Kind([]byte(path), []byte(query)), p.kind(path, query); got != want {
				t.Errorf("%s: %q?%q is %s, want %s", p.name, path, query, got, want)
			}
			for _, k := range []Kind{Machine, Dear} {
				if got, want := of[p][k](path+"?"+query), p.kind(path, query) == k; got != want && !strings.ContainsAny(path, "?") {
					t.Errorf("%s: %q?%q is of %s by its rules: %v, want %v", p.name, path, query, k, got, want)
				}
			}
		}
		recogniser.Add([]byte(path), []byte(query), 200)
		recogniser.Weigh()
	})
}

// ruled says as a map of nginx's does whether a target is of a kind.
func ruled(p *Profile, k Kind) func(target string) bool {
	var expressions []*regexp.Regexp
	rules := p.Rules(k)
	for _, r := range rules {
		expressions = append(expressions, regexp.MustCompile("(?s)"+r.Expression))
	}
	return func(target string) bool {
		for i, e := range expressions {
			if e.MatchString(target) {
				return rules[i].Of
			}
		}
		return false
	}
}

// What nginx is told of an application is what Kind says, the queries and the order of the
// patterns in it.
func TestRules(t *testing.T) {
	for _, p := range NewCatalogue().profiles {
		for k := range Kind(NumKinds) {
			of, n := ruled(p, k), 0
			requests(layouts[p.name], func(_ Kind, path, query string) {
				want := p.Kind([]byte(path), []byte(query)) == k
				if k == Page || k == Asset { // the patterns are not all that makes them so
					return
				}
				if want {
					n++
				}
				if got := of(path + "?" + query); got != want {
					t.Errorf("%s: %s?%s is of %s: %v, want %v", p.name, path, query, k, got, want)
				}
			})
			if k == Machine && n == 0 {
				t.Errorf("%s: nothing was looked at", p.name)
			}
		}
	}
}

func TestNormal(t *testing.T) {
	for path, want := range map[string]string{
		"/": "/", "/a/b": "/a/b", "/a.b": "/a.b", "/a/": "/a/", "": "", "*": "*",
		"//a///b": "/a/b", "/a/./b": "/a/b", "/a/../b": "/b", "/a/.": "/a/", "/a/..": "/", "/a/b/..": "/a/", "/a/...": "/a/...",
		"/%61%2Fb": "/a/b", "/api/%2e%2E/b": "/b", "/a%3Fb": "/a?b", "/a%25b": "/a%b",
		"/..": "/..", "/a/../../b": "/a/../../b", "/%": "/%", "/%2": "/%2", "/%zz": "/%zz", "a/../b": "a/../b",
	} {
		if got := string(Normal([]byte("x"), []byte(path))); got != "x"+want {
			t.Errorf("%q: %q, want %q", path, got, "x"+want)
		}
	}
}

func BenchmarkKind(b *testing.B) {
	for _, p := range NewCatalogue().profiles {
		var paths, queries [][]byte
		requests(layouts[p.name], func(_ Kind, path, query string) {
			paths, queries = append(paths, []byte(path)), append(queries, []byte(query))
		})
		b.Run(p.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.Kind(paths[i%len(paths)], queries[i%len(paths)])
			}
		})
	}
}

func BenchmarkRecognise(b *testing.B) {
	r := NewCatalogue().Recogniser()
	var paths [][]byte
	requests(layouts["discourse"], func(_ Kind, path, query string) { paths = append(paths, []byte(path)) })
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.seen = 0
		r.Add(paths[i%len(paths)], nil, 200)
	}
}
