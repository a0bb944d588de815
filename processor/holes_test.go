package processor

import "testing"

func TestHole(t *testing.T) {
	for path, want := range map[string]bool{
		"/wp-login.php": true, "/blog/wp-content/x": true, "/.env": true, "/a/.git/config": true, "/ADMIN/": true, "/Backup.ZIP": true,
		"/cgi-bin/luci/;stok=/locale": true, "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php": true, "/index.PHP": true,
		"/": false, "": false, "/about": false, "/.well-known/acme-challenge/x": false, "/posts/administration": true, // begins like one; it counts only where the site does not have it
		"/posts/wp": false, "/img/logo.png": false, "*": false, "/page.html": false,
	} {
		if got := hole([]byte(path)); got != want {
			t.Errorf("%q: %v, want %v", path, got, want)
		}
	}
}

func BenchmarkHole(b *testing.B) {
	b.ReportAllocs()
	path := []byte("/articles/2024/some-long-title-that-nobody-reads/42917")
	for b.Loop() {
		hole(path)
	}
}
