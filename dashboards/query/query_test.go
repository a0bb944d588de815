package query

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func moment() Moment {
	now := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	return Moment{Span: Span{now.Add(-time.Hour), now}, Step: 30 * time.Second, Now: now}
}

// FuzzQuery hands over whatever somebody may put into a panel: it is refused, or becomes
// SQL in which nothing of theirs stands outside of a literal.
func FuzzQuery(f *testing.F) {
	for _, k := range Kinds() {
		f.Add(`{"kind":"`+string(k)+`","sql":"SELECT 1","columns":["load"]}`, "shop.example.org", "192.0.2.1")
	}
	f.Add(`{"kind":"requests","where":{"path":"x"}}`, `'; DROP TABLE x; --`, "\\")
	f.Fuzz(func(t *testing.T, text, site, value string) {
		q, err := Parse([]byte(text))
		if err != nil {
			if !errors.Is(err, ErrQuery) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		q.Sites, q.Signals, q.Edges = []string{site}, []string{site}, []string{value}
		q.Where = map[string]string{"path": value, "decision": site}
		if q.check() != nil || q.Kind == SQL {
			return
		}
		plan, err := q.Plan(moment())
		if err != nil {
			return
		}
		if outside := withoutLiterals(plan.SQL); strings.ContainsAny(outside, "'\\\"`;") || strings.Contains(outside, "--") {
			t.Errorf("%q, %q: %s", site, value, plan.SQL)
		}
	})
}

// withoutLiterals is SQL without its quoted texts.
func withoutLiterals(sql string) string {
	var out strings.Builder
	for i, part := range strings.Split(sql, "'") {
		if i%2 == 0 {
			out.WriteString(part)
		}
	}
	if strings.Count(sql, "'")%2 == 1 {
		out.WriteString("'")
	}
	return out.String()
}

func TestTextsAreLiterals(t *testing.T) {
	for value, want := range map[string]string{
		"shop.example.org": "'shop.example.org'", "a'b": "unhex('612762')", `\`: "unhex('5c')", "": "''", "é": "unhex('c3a9')", "a\nb": "unhex('610a62')",
	} {
		if got := Text(value); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	q, err := Parse([]byte(`{"refId":"A","datasource":{"uid":"x"},"intervalMs":1000,"kind":"traffic","sites":["*"],"where":{"client":"","path":"*"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if q.By != "outcome" || len(q.Sites) != 0 || len(q.Where) != 0 || q.Limit != defaultRows {
		t.Errorf("%+v", q)
	}
	for text, want := range map[string]string{
		`[]`: "JSON object", `{"kind":"x"}`: "the kind", `{"kind":"traffic","by":"x"}`: "there are outcome, site", `{"kind":"sites","by":"x"}`: "by",
		`{"kind":"vitals"}`: "no columns", `{"kind":"vitals","columns":["x"]}`: "nginx_active", `{"kind":"sql","sql":" "}`: "is empty", `{"kind":"health","live":true}`: "is not live",
		`{"kind":"requests","where":{"status":"x"}}`: "no number", `{"kind":"requests","where":{"x":"y"}}`: "there are", `{"kind":"sites","limit":-1}`: "limit",
		`{"kind":"sites","sites":["` + strings.Repeat("a", 300) + `"]}`: "300 bytes",
	} {
		if _, err := Parse([]byte(text)); err == nil || !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestAddressesAreCompared(t *testing.T) {
	for value, want := range map[string]string{
		"192.0.2.7":      "r.network >= toIPv6('0000:0000:0000:0000:0000:ffff:c000:0200') AND r.network <= toIPv6('0000:0000:0000:0000:0000:ffff:c000:0207') AND r.client >= toIPv6('0000:0000:0000:0000:0000:ffff:c000:0207') AND r.client <= toIPv6('0000:0000:0000:0000:0000:ffff:c000:0207')",
		"2001:db8::1/32": "r.network >= toIPv6('2001:0db8:0000:0000:0000:0000:0000:0000') AND r.network <= toIPv6('2001:0db8:ffff:ffff:ffff:ffff:ffff:ffff') AND r.client >= toIPv6('2001:0db8:0000:0000:0000:0000:0000:0000') AND r.client <= toIPv6('2001:0db8:ffff:ffff:ffff:ffff:ffff:ffff')",
	} {
		if got, err := condition("client", value); err != nil || got != want {
			t.Errorf("%s: %v\n%s, want\n%s", value, err, got, want)
		}
	}
}

func TestMacros(t *testing.T) {
	q := Query{Kind: SQL, Limit: 10, Sites: []string{"a'b"}, SQL: "SELECT $__timeInterval(time) FROM requests WHERE $__timeFilter(time) AND $__sites(site) LIMIT $__interval_s;"}
	plan, err := q.Plan(moment())
	if err != nil {
		t.Fatal(err)
	}
	want := "SELECT toStartOfInterval(toDateTime(time, 'UTC'), INTERVAL 30 SECOND, 'UTC') FROM requests WHERE " +
		"(time >= fromUnixTimestamp64Milli(1795237200000, 'UTC') AND time < fromUnixTimestamp64Milli(1795240800000, 'UTC')) AND (site IN (unhex('612762'))) LIMIT 30"
	if plan.SQL != want {
		t.Errorf("%s\nwant\n%s", plan.SQL, want)
	}
	for _, text := range []string{"SELECT $__timeFilter", "SELECT $__x(a)", "SELECT $__sites"} {
		q.SQL = text
		if _, err := q.Plan(moment()); !errors.Is(err, ErrQuery) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestSteps(t *testing.T) {
	at := moment()
	for span, want := range map[time.Duration]time.Duration{10 * time.Minute: 10 * time.Second, 6 * time.Hour: 5 * time.Minute, 7 * 24 * time.Hour: 2 * time.Hour, 10 * 365 * 24 * time.Hour: 24 * time.Hour} {
		if got := StepOf(Span{at.To.Add(-span), at.To}, 100); got != want {
			t.Errorf("%v: %v, want %v", span, got, want)
		}
	}
}
