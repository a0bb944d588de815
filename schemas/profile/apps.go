package profile

// everywhere is what every site may have, last of all rules.
const everywhere = `
	machine /robots.txt /ads.txt /security.txt /.well-known/** /sitemap*.xml /sitemap*.xml.gz
	asset   /favicon.ico
`

// sources are all profiles, those that add to another behind it.
func sources() []source {
	return []source{wordpress(), woocommerce(), discourse(), mattermost(), gitlab(), forgejo(), mastodon(), nextcloud(), apt(), rpm()}
}

// wordpress: wp-includes/rewrite.php, wp-includes/rest-api, wp-includes/feed.php.
func wordpress() source {
	return source{
		name: "wordpress",
		rules: `
	dear    /?s /**?s /wp-login.php /wp-signup.php /xmlrpc.php /wp-json/wp/v2/search** /search/** /wp-admin/load-styles.php /wp-admin/load-scripts.php
	machine /feed /feed/ /feed/** **/feed **/feed/ **/feed/rss2 **/feed/atom /comments/feed/ /rss /rss2 /rdf /atom /?feed /**?feed
	machine /wp-cron.php /wp-trackback.php **/trackback **/trackback/ /wp-links-opml.php **/embed/ /wp-json/** /?rest_route /index.php?rest_route
	machine /wp-sitemap*.xml /*-sitemap*.xml /wp-json
	asset   /wp-content/themes/** /wp-content/plugins/** /wp-content/uploads/** /wp-content/cache/** /wp-includes/**
	dear    /wp-admin/admin-ajax.php /wp-admin/** /wp-comments-post.php`,
		signs: `/wp-content/themes/** /wp-content/plugins/** /wp-content/uploads/** /wp-includes/** /wp-json/** /wp-admin/admin-ajax.php`,
	}
}

// woocommerce adds a shop to WordPress: its REST API, legacy callbacks of payment
// providers (wc-api), and requests of carts that no cache can answer.
func woocommerce() source {
	return source{
		name: "woocommerce", over: "wordpress",
		rules: `
	machine /wc-api/** /?wc-api /**?wc-api /wp-json/wc/v1/** /wp-json/wc/v2/** /wp-json/wc/v3/** /wp-json/wc-analytics/** /wp-json/wc-admin/**
	dear    /?wc-ajax /**?wc-ajax /?add-to-cart /**?add-to-cart /**?orderby /**?min_price /**?max_price /wp-json/wc/store/**
	dear    /cart /cart/** /checkout /checkout/** /my-account /my-account/**`,
		signs: `/wp-content/plugins/woocommerce/** /?wc-ajax /**?wc-ajax /wp-json/wc/** /product/** /product-category/**`,
	}
}

// discourse: config/routes.rb.
func discourse() source {
	return source{
		name: "discourse",
		rules: `
	machine **.rss /srv/status /webhooks/** /admin/email/handle_mail /admin/email/smtp_should_reject /chat/hooks/** /hooks/** /embed/** /ap/** /opensearch.xml
	machine /sitemap_*.xml /news.xml /auth/*/callback /session/sso /session/sso_provider /session/sso_login /api/web_hooks/**
	asset   /message-bus/** /assets/** /stylesheets/** /theme-javascripts/** /svg-sprite/** /letter_avatar/** /letter_avatar_proxy/** /user_avatar/** /uploads/**
	asset   /images/** /javascripts/** /highlight-js/** /extra-locales/** /plugins/** /service-worker.js /manifest.webmanifest /favicon/** /presence/** /topics/timings
	dear    /search /search/** /search.json /u/search/** /session /session/** /login /signup /directory_items** /u/*/summary** /tags/filter/** /filter** /posts/*/raw /raw/** /admin/**`,
		signs: `/message-bus/** /letter_avatar/** /letter_avatar_proxy/** /user_avatar/** /theme-javascripts/** /svg-sprite/** /extra-locales/** /topics/timings /latest.json`,
	}
}

// mattermost: server/channels/api4.
func mattermost() source {
	return source{
		name: "mattermost",
		rules: `
	dear    /api/v4/users/login /api/v4/**/search /api/v4/search** /api/v4/users/autocomplete /login /signup_user_complete** /api/v4/files /api/v4/uploads**
	asset   /static/** /api/v4/users/*/image /api/v4/users/*/image/default /api/v4/emoji/*/image /api/v4/files/*/thumbnail /api/v4/files/*/preview /api/v4/teams/*/image /plugins/*/public/** /manifest.json
	machine /hooks/** /plugins/** /api/v4/** /oauth/** /commands/**`,
		signs: `/api/v4/websocket /api/v4/users/me /api/v4/users/status/ids /api/v4/channels/** /api/v4/posts/** /api/v4/config/client /api/v4/users/*/image /api/v4/system/ping`,
	}
}

// gitlab: config/routes, lib/api, doc/development/routing.md: what belongs to a
// project stands behind "/-/".
func gitlab() source {
	return source{
		name: "gitlab", marker: "/-/",
		rules: `
	machine /-/health /-/liveness /-/readiness /-/metrics /-/health/** /-/liveness/** /-/readiness/** **.git/info/refs **.git/git-upload-pack **.git/git-receive-pack **.git/ssh-upload-pack
	machine **.git/info/lfs/** **.git/gitlab-lfs/** **/info/refs /jwt/auth /v2/** **.atom **.ics /oauth/token /oauth/introspect /-/kubernetes-agent/** /-/jira_connect/** /users/auth/*/callback
	dear    /api/v4/search** /api/v4/**/search** /api/v4/projects/*/repository/archive** /api/v4/projects/*/repository/compare**
	machine **?format=atom **?feed_token /api/v4/** /api/graphql/** /-/push_from_secondary/**
	asset   /assets/** /uploads/** /-/emojis/** /-/manifest.json /-/pwa-icons/** **/-/avatar /-/sandbox/**
	dear    **/-/blame/** **/-/compare/** **/-/compare **/-/archive/** **/-/commits/** **/-/commit/** **/-/network/** **/-/graphs/** **/-/raw/** **/-/blob/** **/-/tree/** **/-/find_file/** **/-/refs/** **/-/merge_requests/*/diffs** **/-/jobs/*/artifacts/** **/-/analytics/**
	dear    /search /search/** /users/sign_in /users/sign_up /users/password /explore /explore/** /api/graphql /-/graphql-explorer`,
		signs: `**/-/blob/** **/-/tree/** **/-/merge_requests** **/-/issues** **/-/commit/** /assets/webpack/** /uploads/-/system/** /api/v4/projects/** /api/v4/jobs/request /-/manifest.json /users/sign_in`,
	}
}

// forgejo: routers/web/web.go, routers/api; Gitea has the same.
func forgejo() source {
	return source{
		name: "forgejo",
		rules: `
	machine **/info/refs **/git-upload-pack **/git-receive-pack **/info/lfs/** /*/*/HEAD /*/*/objects/** /api/healthz /api/actions/** /api/actions_pipeline/** /api/packages/** /v2/** /metrics
	machine **.rss **.atom /login/oauth/access_token /login/oauth/keys /login/oauth/userinfo /user/oauth2/*/callback
	dear    /api/v1/repos/search /api/v1/users/search /api/v1/topics/search /api/v1/repos/*/*/archive/** /api/v1/repos/*/*/compare/**
	machine /api/v1/** /api/swagger
	asset   /assets/** /avatars/** /repo-avatars/** /user/events /serviceworker.js /manifest.json
	dear    /*/*/blame/** /*/*/commits/** /*/*/commit/** /*/*/compare/** /*/*/archive/** /*/*/graph /*/*/activity** /*/*/raw/** /*/*/media/** /*/*/src/commit/** /*/*/src/branch/** /*/*/src/tag/** /*/*/search /*/*/find/** /*/*/rawdiff/** /*/*/pulls/*/files**
	dear    /explore/** /user/login /user/sign_up /user/forgot_password /**?q`,
		signs: `/assets/js/index.js /assets/css/index.css /assets/css/theme-* /assets/img/** /avatars/** /repo-avatars/** /user/events /*/*/src/branch/** /*/*/src/commit/** /explore/repos /api/v1/repos/** /api/actions/**`,
	}
}

// mastodon: config/routes.rb, config/routes/api.rb; ActivityPub's paths.
func mastodon() source {
	return source{
		name: "mastodon",
		rules: `
	dear    /api/v2/search /api/v1/accounts/search /api/v1/timelines/public /search /search/** /auth/sign_in /auth/sign_up /auth /explore /explore/** /public /public/** /directory /media_proxy/**
	asset   /packs/** /system/** /emoji/** /avatars/** /headers/** /sounds/** /sw.js /manifest /badge.png /inert.css /custom.css /favicon.ico /ocr/**
	machine /inbox /actor /actor/** /users/*/inbox /users/*/outbox /users/*/followers /users/*/following /users/*/followers_synchronization /users/*/collections/** /users/*/statuses/** /ap/** /users/* /nodeinfo/**
	machine /health /oauth/** /api/** **.rss **.atom /@*.rss /tags/*.rss /contexts/** /invites/*.json`,
		signs: `/packs/** /inbox /users/*/inbox /users/*/outbox /users/*/statuses/** /api/v1/timelines/** /api/v1/instance /api/v2/instance /api/v1/streaming/** /system/media_attachments/** /system/accounts/**`,
	}
}

// nextcloud: core/routes.php, remote.php, ocs; with and without index.php in front.
func nextcloud() source {
	return source{
		name: "nextcloud",
		rules: `
	dear    /core/preview** /index.php/core/preview** /index.php/apps/files/api/v1/thumbnail/** /apps/files/api/v1/thumbnail/** /ocs/v2.php/search/** /login /index.php/login /index.php/login/flow** /lostpassword/** /index.php/lostpassword/** /s/*/download** /index.php/s/*/download** /index.php/apps/files_sharing/publicpreview/** /apps/files_sharing/publicpreview/**
	machine /remote.php/** /public.php/** /ocs/** /ocm-provider** /ocs-provider** /status.php /cron.php /index.php/204 /204 /login/v2** /index.php/login/v2** /push/** /index.php/apps/spreed/signaling/** /index.php/apps/user_oidc/** /apps/user_oidc/** /index.php/ocm/** /ocm/** /heartbeat /index.php/heartbeat
	asset   /core/** /dist/** /js/** /css/** /svg/** /apps/*/css/** /apps/*/js/** /apps/*/img/** /apps/*/l10n/** /apps/*/fonts/** /custom_apps/** /apps-extra/** /avatar/** /index.php/avatar/** /index.php/css/** /index.php/js/** /index.php/svg/** /apps/theming/** /index.php/apps/theming/** /csrftoken /index.php/csrftoken`,
		signs: `/remote.php/** /ocs/v2.php/** /ocs/v1.php/** /status.php /core/js/** /core/img/** /index.php/apps/** /index.php/core/preview** /dist/core-* /apps/files/** /index.php/csrftoken`,
	}
}

// apt: the layout of a Debian repository (wiki.debian.org/DebianRepository/Format).
// All who ask are package managers and mirrors.
func apt() source {
	return source{
		name: "apt",
		rules: `
	machine **/dists/** /dists/** **/pool/** /pool/** **.deb **.udeb **.ddeb **.dsc **InRelease **Release **Release.gpg **Packages **Packages.gz **Packages.xz **Sources.gz **Sources.xz **.asc **.gpg **.key **/mirror** /mirrors.txt`,
		signs: `/dists/*/InRelease **/dists/*/InRelease /dists/*/Release **/dists/*/Release **/by-hash/SHA256/* /dists/**/Packages.gz /pool/**.deb **/pool/**.deb`,
	}
}

// rpm: the layout of createrepo, and what dnf, yum and zypper ask for.
func rpm() source {
	return source{
		name: "rpm",
		rules: `
	machine **/repodata/** /repodata/** **.rpm **.drpm **/mirrorlist** /mirrorlist** **/metalink** /metalink** **RPM-GPG-KEY* **.repo **/.treeinfo **/treeinfo **/media.1/** **/repomd.xml **/comps.xml`,
		signs: `/repodata/repomd.xml **/repodata/repomd.xml /repodata/*-primary.xml* **/repodata/*-primary.xml* /repodata/*-filelists.xml* **/repodata/*-filelists.xml* **.rpm **.drpm`,
	}
}
