package simulate

// What speaks to the sites besides browsers; read only. A library's defaults are
// what the attack sends too: each of them stands here among honest programs.

func library(agent, encoding, protocol string, t tlsProfile) profile {
	return profile{agent: agent, encoding: encoding, protocol: protocol, tls: t}
}

var feedReaders = []profile{
	library("FreshRSS/1.27.1 (Linux; https://freshrss.org)", "gzip, deflate, br, zstd", "HTTP/2.0", tlsOpenSSL),
	library("Mozilla/5.0 (compatible; Miniflux/2.2.14; +https://miniflux.app)", "br, gzip", "HTTP/2.0", tlsGo),
	library("Tiny Tiny RSS/25.08 (https://tt-rss.org/)", "gzip, deflate", "HTTP/2.0", tlsOpenSSL),
	library("feedparser/6.0.11 +https://github.com/kurtmckee/feedparser/", "gzip, deflate", "HTTP/1.1", tlsOpenSSL),
	library("Feedly/1.0 (+http://www.feedly.com/fetcher.html; 12 subscribers)", "gzip", "HTTP/1.1", tlsJava),
	library("NextCloud-News/1.0", "gzip, deflate", "HTTP/1.1", tlsOpenSSL),
	library("newsboat/2.40 (Linux x86_64)", "gzip, deflate", "HTTP/2.0", tlsGnu),
	{agent: "NetNewsWire (RSS Reader; https://netnewswire.com/)", language: "de-DE,de;q=0.9", encoding: "gzip, deflate, br", protocol: "HTTP/2.0", tls: tlsSafari},
	{agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.5.0", language: "en-US,en;q=0.5", encoding: "gzip, deflate, br, zstd", protocol: "HTTP/2.0", tls: tlsFirefox},
}

var monitors = []profile{
	library("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "gzip, deflate", "HTTP/1.1", tlsOpenSSL),
	library("Uptime-Kuma/2.0.2", "gzip, compress, deflate, br", "HTTP/1.1", tlsOpenSSL),
	library("Blackbox Exporter/0.27.0", "gzip", "HTTP/2.0", tlsGo),
	library("check_http/v2.3.3 (monitoring-plugins 2.3.3)", "", "HTTP/1.1", tlsOpenSSL),
}

// crawler is a search engine or another eager reader: its profile and network.
type crawler struct {
	profile
	network string // IPv4 /24 in which its addresses are
	weight  float64
}

var crawlers = []crawler{
	{profile{agent: "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", encoding: "gzip, deflate, br", protocol: "HTTP/1.1", tls: tlsGo}, "66.249.66.0", 30},
	{profile{agent: "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.7200.60 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", encoding: "gzip, deflate, br", protocol: "HTTP/1.1", tls: tlsGo}, "66.249.66.0", 20},
	{profile{agent: "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/136.0.0.0 Safari/537.36", encoding: "gzip, deflate, br", protocol: "HTTP/2.0", tls: tlsChrome}, "40.77.167.0", 18},
	{profile{agent: "DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)", encoding: "gzip, deflate", protocol: "HTTP/1.1", tls: tlsOpenSSL}, "20.191.45.0", 4},
	{profile{agent: "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", language: "en-us,en;q=0.7,*;q=0.01", encoding: "gzip,deflate", protocol: "HTTP/1.1", tls: tlsOpenSSL}, "5.255.231.0", 6},
	{profile{agent: "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", encoding: "gzip, br, deflate", protocol: "HTTP/2.0", tls: tlsOpenSSL}, "20.171.207.0", 9},
	{profile{agent: "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)", encoding: "gzip, deflate, br, zstd", protocol: "HTTP/2.0", tls: tlsOpenSSL}, "216.73.216.0", 9},
	{profile{agent: "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", encoding: "gzip, deflate", protocol: "HTTP/1.1", tls: tlsOpenSSL}, "54.36.148.0", 6},
	{profile{agent: "CCBot/2.0 (https://commoncrawl.org/faq/)", language: "en-US,en;q=0.5", encoding: "br,gzip", protocol: "HTTP/1.1", tls: tlsJava}, "18.97.9.0", 3},
}

var previews = []profile{
	library("http.rb/5.1.1 (Mastodon/4.4.8; +https://social.example.net/) Bot", "gzip", "HTTP/1.1", tlsOpenSSL),
	library("http.rb/5.3.1 (Mastodon/4.5.2; +https://town.example.com/) Bot", "gzip", "HTTP/1.1", tlsOpenSSL),
	library("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "gzip", "HTTP/1.1", tlsJava),
	library("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", "", "HTTP/1.1", tlsOpenSSL),
	library("TelegramBot (like TwitterBot)", "gzip, deflate", "HTTP/1.1", tlsOpenSSL),
	library("WhatsApp/2.23.20.0", "", "HTTP/2.0", tlsOpenSSL),
	library("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "deflate, gzip", "HTTP/2.0", tlsOpenSSL),
	{agent: "Synapse (bot; +https://github.com/matrix-org/synapse)", language: "en", encoding: "gzip", protocol: "HTTP/1.1", tls: tlsOpenSSL},
}

var scripts = []profile{
	library("curl/8.5.0", "", "HTTP/2.0", tlsOpenSSL),
	library("curl/7.88.1", "", "HTTP/2.0", tlsOpenSSL),
	library("Wget/1.21.3", "identity", "HTTP/1.1", tlsGnu),
	library("python-requests/2.32.3", "gzip, deflate", "HTTP/1.1", tlsOpenSSL),
	library("python-requests/2.28.1", "gzip, deflate", "HTTP/1.1", tlsOpenSSL),
	library("Python/3.12 aiohttp/3.10.5", "gzip, deflate", "HTTP/1.1", tlsOpenSSL),
	library("Go-http-client/2.0", "gzip", "HTTP/2.0", tlsGo),
	library("Go-http-client/1.1", "gzip", "HTTP/1.1", tlsGo),
	library("okhttp/4.12.0", "gzip", "HTTP/2.0", tlsJava),
	library("Java/17.0.12", "", "HTTP/1.1", tlsJava),
	library("axios/1.7.7", "gzip, compress, deflate, br", "HTTP/1.1", tlsOpenSSL),
	library("node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", "gzip,deflate", "HTTP/1.1", tlsOpenSSL),
	library("libwww-perl/6.68", "", "HTTP/1.1", tlsOld),
	library("", "gzip", "HTTP/1.1", tlsGo),
}

var apiClients = []profile{
	library("python-requests/2.32.3", "gzip, deflate", "HTTP/1.1", tlsOpenSSL),
	library("GuzzleHttp/7", "", "HTTP/1.1", tlsOpenSSL),
	library("Go-http-client/2.0", "gzip", "HTTP/2.0", tlsGo),
	library("okhttp/4.12.0", "gzip", "HTTP/2.0", tlsJava),
	library("axios/1.7.7", "gzip, compress, deflate, br", "HTTP/1.1", tlsOpenSSL),
	{agent: "ExampleApp/3.2 CFNetwork/1568.200.51 Darwin/24.1.0", language: "de-DE,de;q=0.9", encoding: "gzip, deflate, br", protocol: "HTTP/2.0", tls: tlsSafari},
}

var gitClients = []profile{
	{agent: "git/2.39.5", language: "", encoding: "deflate, gzip, br, zstd", protocol: "HTTP/2.0", tls: tlsGnu},
	{agent: "git/2.47.3", language: "", encoding: "deflate, gzip, br, zstd", protocol: "HTTP/2.0", tls: tlsOpenSSL},
	{agent: "git/2.51.0", language: "de-DE, *;q=0.9", encoding: "deflate, gzip, br, zstd", protocol: "HTTP/2.0", tls: tlsOpenSSL},
	{agent: "git/2.50.1 (Apple Git-155)", language: "", encoding: "deflate, gzip", protocol: "HTTP/2.0", tls: tlsSafari0},
	{agent: "git/2.49.0.windows.1", language: "", encoding: "deflate, gzip, br, zstd", protocol: "HTTP/2.0", tls: tlsOpenSSL},
	library("go-git/5.x", "gzip", "HTTP/2.0", tlsGo),
	library("JGit/6.10.0", "gzip", "HTTP/1.1", tlsJava),
}

var packageManagers = []profile{
	library("Debian APT-HTTP/1.3 (3.0.3)", "", "HTTP/1.1", tlsGnu),
	library("Debian APT-HTTP/1.3 (2.6.1)", "", "HTTP/1.1", tlsGnu),
	library("Ubuntu APT-HTTP/1.3 (2.7.14)", "", "HTTP/1.1", tlsGnu),
	library("Debian Apt-Cacher-NG/3.7.4", "", "HTTP/1.1", tlsOpenSSL),
	library("libdnf (Fedora Linux 43; workstation; Linux.x86_64)", "", "HTTP/2.0", tlsOpenSSL),
	library("pip/25.3 {\"python\":\"3.13.9\"}", "gzip, deflate", "HTTP/1.1", tlsOpenSSL),
}

// libraries are what bots are written with: the profile without an agent of its
// own. The last one cannot be told from a browser by its headers without TLS.
var libraries = []profile{
	library("", "gzip", "HTTP/1.1", tlsGo),                                                         // net/http
	library("", "gzip, deflate", "HTTP/1.1", tlsOpenSSL),                                           // requests, aiohttp
	library("", "gzip, compress, deflate, br", "HTTP/1.1", tlsOpenSSL),                             // axios
	{encoding: "gzip, deflate", language: "en-US,en;q=0.5", protocol: "HTTP/1.1", tls: tlsOpenSSL}, // requests with a header more
}

// libraryOf is the library of a seed's attack: neighbouring seeds have different
// ones, so that a few seeds show them all.
func libraryOf(seed uint64, plain bool) profile {
	choices := libraries
	if plain {
		choices = choices[:len(choices)-1]
	}
	return choices[seed%uint64(len(choices))]
}
