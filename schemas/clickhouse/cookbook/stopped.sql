-- What did the decisions stop, hour by hour?
SELECT toStartOfHour(time) AS hour, action, sum(decision_effect.requests) AS requests
FROM decision_effect WHERE site IN ({sites}) AND time >= toStartOfHour({opened}) AND time <= {end} + INTERVAL 7 DAY
    AND decision IN (SELECT decision FROM decisions WHERE incident = {incident})
GROUP BY hour, action ORDER BY hour, action
