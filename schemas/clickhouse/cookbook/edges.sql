-- How were the edges, minute by minute?
SELECT toStartOfMinute(time) AS minute, edge, max(nginx_active) AS connections, sum(nginx_requests) AS answered, max(listen_waiting) AS waiting, round(max(load), 1) AS load, round(max(cpu_pressure), 2) AS cpu_pressure
FROM vitals WHERE time >= {begin} - INTERVAL 10 MINUTE AND time <= {end} + INTERVAL 10 MINUTE GROUP BY minute, edge ORDER BY minute, edge
