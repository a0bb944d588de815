-- How did it go, minute by minute, from ten minutes before to ten minutes after? All requests, also those that were not kept.
SELECT time AS minute, sum(traffic_1m.requests) AS requests, max(clients) AS most_clients, sum(traffic_1m.not_found) AS not_found, sum(traffic_1m.errors) AS errors,
    sum(traffic_1m.abandoned) AS abandoned, sum(traffic_1m.throttled + challenged + blocked) AS stopped
FROM traffic_1m WHERE site IN ({sites}) AND time >= toStartOfMinute({opened}) - INTERVAL 10 MINUTE AND time <= {end} + INTERVAL 10 MINUTE
GROUP BY minute ORDER BY minute
