-- What was it? The incident's last state, and how often it was updated.
SELECT incident, argMax(kind, time) AS kind, argMax(sites, time) AS sites, min(opened) AS opened, max(closed) AS closed,
    count() AS changes, argMax(cause, time) AS cause
FROM incidents WHERE incident = {incident} GROUP BY incident
