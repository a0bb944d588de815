package simulate

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// buildCouncil is a town's site: deep menus, forms, minutes of meetings with numbers for
// names, and a calendar that never ends. Few of its pages have pictures.
func buildCouncil(b *builder) {
	b.assets(2, 3, 2)
	b.page("/", 17000, 210*ms, 9)
	for _, area := range []string{"buerger", "rathaus", "bauen", "kultur", "schule", "verkehr"} {
		b.page("/"+area, 9000, 170*ms, 3)
		for range 6 {
			topic := "/" + area + "/" + slug(b.r, 1)
			b.page(topic, 8000, 170*ms, 1)
			for range 7 {
				b.page(fmt.Sprintf("%s/%s.html", topic, slug(b.r, 1+b.r.IntN(2))), 7000, 190*ms, 1)
			}
		}
	}
	for range 260 {
		b.page(fmt.Sprintf("/ratsinfo/vorlage/%d", 10000+b.r.IntN(80000)), 6000, 260*ms, 0)
	}
	for range 90 {
		b.page(fmt.Sprintf("/aktuelles/%d-%02d-%02d-%s", 2021+b.r.IntN(6), 1+b.r.IntN(12), 1+b.r.IntN(28), slug(b.r, 3)), 10000, 200*ms, 3)
	}
	b.action(b.page("/kalender", 11000, 340*ms, 0), func(r *rand.Rand) string {
		return fmt.Sprintf("monat=%d-%02d", 2024+r.IntN(4), 1+r.IntN(12))
	})
	b.action(b.page("/search", 8000, 430*ms, 0), searchQuery)
	b.action(b.call("POST", "/formular/absenden", 303, 0, 210*ms), nil)
	b.action(b.call("POST", "/termin", 303, 0, 160*ms), nil)
	b.feed("/aktuelles.rss")
	b.api("/api/abfallkalender", "/api/wartezeit")
}

// buildBoard is a forum of the old kind: everything is one script with a query.
func buildBoard(b *builder) {
	b.assets(2, 2, 0)
	b.page("/", 15000, 140*ms, 1)
	for _, p := range []string{"/faq.php", "/memberlist.php", "/ucp.php", "/viewonline.php"} {
		b.page(p, 9000, 130*ms, 0)
	}
	b.action(b.page("/viewtopic.php", 19000, 190*ms, 3), func(r *rand.Rand) string {
		q := fmt.Sprintf("t=%d", 1+int(r.ExpFloat64()*700))
		if chance(r, .3) {
			q += fmt.Sprintf("&start=%d", 15*geometric(r, 3, 60))
		}
		return q
	})
	b.action(b.page("/viewforum.php", 13000, 170*ms, 0), func(r *rand.Rand) string { return fmt.Sprintf("f=%d", 1+r.IntN(30)) })
	for range 900 {
		b.page(fmt.Sprintf("/archive/t-%d.html", 1+b.r.IntN(40000)), 12000, 120*ms, 1)
	}
	for range 160 {
		b.page(fmt.Sprintf("/profile/%s%d", one(b.r, words), b.r.IntN(100)), 6000, 110*ms, 1)
	}
	b.action(b.page("/search", 8000, 390*ms, 0), searchQuery)
	for range 30 {
		b.action(b.call("POST", "/posting.php", 303, 0, 230*ms), func(r *rand.Rand) string { return fmt.Sprintf("mode=reply&t=%d", 1+r.IntN(900)) })
	}
	b.action(b.call("POST", "/ucp.php", 303, 0, 280*time.Millisecond), func(*rand.Rand) string { return "mode=login" })
	b.feed("/feed.php")
	b.api("/app.php/api/unread")
}
