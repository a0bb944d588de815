package simulate

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// deadLink is a page that there is not but that honest people and crawlers still
// ask for: moved, mistyped, or never there.
func deadLink(r *rand.Rand, s *Site) string {
	switch path := s.page(r).Path; r.IntN(8) {
	case 0:
		return "/old/" + slug(r, 2) + ".html"
	case 1:
		return "/" + strings.Trim(path, "/") + one(r, []string{")", ".", "%20", "/amp", "/feed", ","})
	case 2:
		return "/" + one(r, words) + one(r, []string{"", "", ".php", ".html", ".pdf"})
	case 3:
		return fmt.Sprintf("/%s/%d", one(r, words), 1+r.IntN(20000))
	case 4:
		return "/media/" + text(r, hexDigits, 8) + ".jpg"
	case 5:
		return "/" + slug(r, 1+r.IntN(3))
	default:
		return sibling(r, path)
	}
}

// sibling is a page's address with another end.
func sibling(r *rand.Rand, path string) string {
	return path[:strings.LastIndexByte(path, '/')+1] + slug(r, 1+r.IntN(3))
}

// randomPage is what the attack asks for where it does not ask for a page that
// there is: addresses made up, some after the pattern of the site's own.
func randomPage(r *rand.Rand, s *Site) string {
	switch at := r.Float64(); {
	case at < .25:
		return sibling(r, s.page(r).Path)
	case at < .50:
		return "/" + text(r, lower, 5+r.IntN(9))
	case at < .62:
		return "/" + text(r, lower+digits, 6+r.IntN(7))
	case at < .72:
		return "/" + text(r, lower, 4+r.IntN(8)) + one(r, []string{".html", ".php"})
	case at < .84:
		return "/" + one(r, words) + "/" + text(r, lower, 4+r.IntN(9))
	case at < .94:
		return fmt.Sprintf("/%s/%d", one(r, words), r.IntN(100000))
	}
	return "/" + slug(r, 2+r.IntN(2))
}

// probes are what scanners ask for; read only.
var probes = []string{
	"/wp-login.php", "/wp-admin/", "/xmlrpc.php", "/.env", "/.git/config", "/phpmyadmin/index.php",
	"/admin/", "/administrator/index.php", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
	"/wp-content/plugins/hellopress/wp_filemanager.php", "/.aws/credentials", "/config.json", "/backup.zip",
	"/cgi-bin/luci/;stok=/locale", "/boaform/admin/formLogin", "/actuator/health", "/server-status",
	"/solr/admin/info/system", "/owa/auth/logon.aspx", "/.DS_Store", "/info.php", "/test.php", "/shell.php",
	"/api/.env", "/login.action", "/HNAP1", "/sitemap.xml", "/wp-includes/wlwmanifest.xml", "/1.php", "/about.php",
}
