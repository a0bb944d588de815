-- What did one client do? (--client names its address; with --incident, in the week around it.)
SELECT time, site, method, path, status, action, decision, user_agent FROM requests
WHERE {around} AND {isclient} ORDER BY time, path LIMIT 1000
