//! The words of the page of what happens now.

use super::words;

words! {
    Now {
        title: "Сейчас", "Қазір", "Now";
        tasks: "Требует внимания", "Назар керек", "Needs somebody";
        no_tasks: "Всё в порядке: ничто не ждёт человека.", "Бәрі жақсы: ештеңе адамды күтіп тұрған жоқ.", "All is well: nothing waits for a person.";
        since: "с", "басталды:", "since";
        acknowledged: "уже занимаются", "айналысып жатыр", "somebody takes care of it";
        dead_letters: "Событий не доставлено после всех попыток: {}.", "Барлық талпыныстан кейін жеткізілмеген оқиғалар: {}.", "Events that were given up after all attempts: {}.";
        failed_runs: "Запусков скриптов, закончившихся ошибкой: {}.", "Қатемен аяқталған скрипт іске қосулары: {}.", "Runs of scripts that have failed: {}.";
        documents_for_you: "Документов ждут вас: {}.", "Сізді күтетін құжаттар: {}.", "Documents that wait for you: {}.";
        documents_pending: "Документов ждут подписи или согласования в компании: {}.", "Компанияда қол қоюды немесе келісуді күтетін құжаттар: {}.", "Documents that wait for a signature or an approval in the company: {}.";
        missed_calls: "Пропущенных звонков без ответного звонка: {}.", "Қайта қоңырау шалынбаған жауапсыз қоңыраулар: {}.", "Missed calls that nobody has called back: {}.";
        switched_off_task: "Получатель выключен, события его не достигают: {}.", "Алушы өшірілген, оқиғалар оған жетпейді: {}.", "A receiver is switched off and gets no events: {}.";
        see_alerts: "Тревоги", "Дабылдар", "Alerts";
        see_deliveries: "Посмотреть и отправить снова", "Қарау және қайта жіберу", "Look and send again";
        see_runs: "К запускам", "Іске қосуларға", "To the runs";
        see_documents: "К документам", "Құжаттарға", "To the documents";
        see_calls: "К звонкам", "Қоңырауларға", "To the calls";
        see_integration: "К интеграции", "Интеграцияға", "To the integration";
        sources: "Получатели", "Алушылар", "Receivers";
        no_sources: "Получателей ещё нет. Здесь видно, как идут вебхуки, хуки документов и каналы.", "Алушылар әлі жоқ. Мұнда вебхуктардың, құжат хуктарының және арналардың күйі көрінеді.", "There are no receivers yet. Webhooks, document hooks and channels show here how they are doing.";
        to_integrations: "К интеграциям", "Интеграцияларға", "To the integrations";
        more_sources: "Показаны первые 100 получателей.", "Алғашқы 100 алушы көрсетілген.", "The first 100 receivers are shown.";
        name: "Получатель", "Алушы", "Receiver";
        state: "Состояние", "Күйі", "State";
        working: "работает", "жұмыс істеуде", "works";
        idle: "ждёт событий", "оқиға күтуде", "waits for events";
        failing: "ошибки", "қателер", "fails";
        switched_off: "выключен", "өшірілген", "switched off";
        paused: "на паузе", "кідіртілген", "paused";
        lagging: "отстаёт", "артта қалуда", "lags behind";
        webhook: "вебхук", "вебхук", "webhook";
        document_hook: "хук документов", "құжат хугі", "document hook";
        channel: "канал", "арна", "channel";
        waiting: "Ждут повтора", "Қайталауды күтуде", "Wait for a retry";
        lag: "впереди событий: {}, старшему {}", "алдағы оқиғалар: {}, ең ескісі {}", "events to come: {}, the oldest is {} old";
        next: "следующая попытка", "келесі талпыныс", "next attempt";
        last_success: "Последний успех", "Соңғы сәтті", "Last success";
        day: "Сутки", "Тәулік", "Last day";
        day_text: "За сутки доставлено: {}, ошибок: {}", "Тәулікте жеткізілді: {}, қателер: {}", "In the last day delivered: {}, failed: {}";
        tail: "Последние вызовы", "Соңғы шақырулар", "Last calls";
        all_calls: "Все доставки", "Барлық жеткізулер", "All deliveries";
    }
}
