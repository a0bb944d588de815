-- What did one client do? (--client names its address; with --incident, in the week around it.)
SELECT time, site, method, path, status, action, decision, user_agent FROM requests
PREWHERE {isclient} WHERE {around} ORDER BY time, path LIMIT 1000
