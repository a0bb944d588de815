-- What was decided, whom could it touch, and what did it do?
SELECT d.decision, d.action, d.scope, d.value, round(100 * d.collateral, 2) AS percent_of_people, e.stopped, e.let_through
FROM (SELECT * FROM decisions_latest WHERE incident = {incident}) AS d
LEFT JOIN (SELECT decision, sumIf(requests, action != 'allow') AS stopped, sumIf(requests, action = 'allow') AS let_through
    FROM decision_effect GROUP BY decision) AS e ON e.decision = d.decision
ORDER BY e.stopped DESC, d.decision LIMIT 100
